"""A recipe is data, and bounded: what is not is refused, at once, with its place."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from stagectl.errors import Fault, RecipeError
from stagectl.recipe import load_recipe
from stagectl.recipe.source import parse_source, read_source

GOOD = "trainer: {total_timesteps: 1}\ncurriculum: {stages: [a, b]}\n"


def refused(text: str) -> str:
    started = time.process_time()
    with pytest.raises(RecipeError) as raised:
        parse_source(text, "r.yaml")
    assert time.process_time() - started < 1
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1, 2\nb: 3\n", "r.yaml:2:2"),
        ("a: 1\n  b: 2\n", "r.yaml:2:4"),
        ("a: 'x\n", "r.yaml:2:1"),
        ("a: {b: 1\n", "r.yaml:2:1"),
        ("- a\nb: 1\n", "r.yaml:2:1"),
        ("a: *nobody\n", "r.yaml:1:4"),
        ("a: 1\n---\nb: 2\n", "r.yaml:2:1"),
        ("a: b: c\n", "r.yaml:1:5"),
        ("a:\n\t- b\n", "r.yaml:2:1"),
        ("\ta: b\n", "r.yaml:1:1"),
        ("a: @b\n", "r.yaml:1:4"),
        ("a: %b\n", "r.yaml:1:4"),
    ],
)
def test_broken_yaml_is_refused_with_line_and_column(text: str, place: str) -> None:
    assert refused(text).startswith(f"{place}: this is not YAML: ")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "null\n"])
def test_an_empty_recipe_is_refused(text: str) -> None:
    assert refused(text) == "r.yaml: a recipe is empty; it needs at least `curriculum:` with its stages"


@pytest.mark.parametrize("text", ["[a]\n", "just text\n", "5\n"])
def test_a_recipe_that_is_no_mapping_is_refused(text: str) -> None:
    assert "is not a mapping at its top level" in refused(text)


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    assert "its aliases expand to more than 10 times the file" in refused("\n".join(lines))


def test_a_bomb_of_merge_keys_is_refused() -> None:
    lines = ["a0: &a0 {k0: 1, k1: 2, k2: 3}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}], k: *a{i - 1}}}" for i in range(1, 9)]
    assert "its aliases expand" in refused("\n".join(lines))


@pytest.mark.parametrize("text", ["a: &x [*x]\n", "a: &x {b: *x}\n", "&x a: {b: [&y [*y]]}\n"])
def test_an_alias_within_what_it_names_is_refused_with_its_place(text: str) -> None:
    message = refused(text)
    assert message.startswith("r.yaml:1:")
    assert "stands within what it names" in message


def test_an_alias_that_repeats_a_value_is_welcome() -> None:
    assert parse_source("a: &x {b: [1]}\nc: *x\n", "r.yaml").data == {"a": {"b": [1]}, "c": {"b": [1]}}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_twenty_thousand_levels_are_refused(opening: str) -> None:
    message = refused("a:\n  " + opening * 20_000)
    assert "nested more than 64 levels deep" in message
    assert message.startswith("r.yaml:2:")


def test_sixty_four_levels_are_welcome() -> None:
    assert parse_source("a: " + "[" * 63 + "]" * 63, "r.yaml").data["a"]
    assert "nested more" in refused("a: " + "[" * 64 + "]" * 64)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\nb: 2\na: 3\n", "r.yaml:3:1"),
        ("x: {a: 1, a: 1}\n", "r.yaml:1:11"),
        ("x:\n  - a: 1\n    'a': 2\n", "r.yaml:3:5"),
    ],
)
def test_a_key_that_is_there_twice_is_refused_with_its_place(text: str, place: str) -> None:
    assert refused(text) == f"{place}: the key 'a' is there twice"


@pytest.mark.parametrize("key", ["1", "true", "null", "[a]", "{a: b}", "1.5", "? [a]\n"])
def test_a_key_that_is_no_text_is_refused(key: str) -> None:
    assert "r.yaml:1:" in refused(f"{key}: x\n")


@pytest.mark.parametrize(
    "value",
    [
        "!!python/name:os.system",
        "!!python/object/apply:os.system ['echo x']",
        "!!python/object:os.system {}",
        "!!python/module:os",
        "!!python/tuple [a]",
        "!mine x",
        "!mine {a: b}",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!binary aGVsbG8=",
        "!!timestamp 2001-01-01",
        "!!bool maybe",
        "!!int ''",
        "!!int x",
        "!!float x",
        "!!int [1]",
        "!!str {a: b}",
        "!!map x",
    ],
)
def test_a_tag_that_makes_more_than_plain_data_is_refused_with_its_place(value: str) -> None:
    assert refused(f"a: {value}\n").startswith("r.yaml:1:")


@pytest.mark.parametrize("value", ["5", "text", "[1, 2]", "[{a: 1}, 2]", "null"])
def test_a_merge_of_what_is_no_mapping_is_refused_with_its_place(value: str) -> None:
    assert refused(f"x:\n  <<: {value}\n").startswith("r.yaml:2:")


def test_merge_keys_merge() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 0}\n"
    assert parse_source(text, "r.yaml").data["c"] == {"x": 0, "y": 1, "z": 2}


def test_dates_stay_text_and_floats_need_no_dot() -> None:
    data = parse_source("a: 2001-01-01\nb: 1e6\nc: 3e-4\nd: 400_000\ne: 1.5E+3\nf: '1e6'\n", "r.yaml").data
    assert data == {"a": "2001-01-01", "b": 1e6, "c": 3e-4, "d": 400_000, "e": 1500.0, "f": "1e6"}


@pytest.mark.parametrize(
    ("path", "place"), [(("a",), "1:1"), (("a", 0), "2:5"), (("a", 0, "c"), "3:5"), (("a", 0, "c", 1), "3:12")]
)
def test_each_value_has_its_place(path: tuple[str | int, ...], place: str) -> None:
    source = parse_source("a:\n  - b: 1\n    c: [x, y]\n", "r.yaml")
    assert str(source.error(Fault(path, "is wrong"))).startswith(f"r.yaml:{place}: a")


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────


def refused_file(path: Path) -> str:
    with pytest.raises(RecipeError) as raised:
        read_source(path)
    return str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refused_file(tmp_path / "no.yaml").startswith(f"{tmp_path}/no.yaml: no such file")


def test_a_folder_is_named(tmp_path: Path) -> None:
    assert "this is a folder" in refused_file(tmp_path)


def test_more_than_a_mebibyte_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    with file.open("wb") as big:
        big.truncate(10 << 30)  # sparse; reading it whole would take the machine's memory
    assert "larger than 1 MiB" in refused_file(file)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_recipe(tmp_path / "bom.yaml").stages[0].name == "a"


@pytest.mark.parametrize("raw", [GOOD.encode("utf-16"), b"a: \xff\n", b"a: \xed\xa0\x80\n"])
def test_what_is_not_utf_8_is_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "r.yaml").write_bytes(raw)
    assert "not UTF-8 text" in refused_file(tmp_path / "r.yaml")


@pytest.mark.parametrize("raw", [b"a: \x00\n", b"a: \x1b[31m\n", b"\x7f: 1\n"])
def test_control_characters_are_refused(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "r.yaml").write_bytes(raw)
    message = refused_file(tmp_path / "r.yaml")
    assert "this is not YAML" in message
    assert message.isprintable()


def test_windows_line_ends_are_welcome(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(GOOD.replace("\n", "\r\n").encode())
    assert len(load_recipe(tmp_path / "r.yaml").stages) == 2


# ── nothing that a recipe names is imported ─────────────────────────────────────────────────────────────────

PROBE = """
import sys
from pathlib import Path
from stagectl.recipe import load_recipe, read_resolved, write_resolved
from stagectl.errors import Fault, RecipeError
sys.path.insert(0, sys.argv[1])
try:
    recipe = load_recipe(Path(sys.argv[1]) / "r.yaml")
except RecipeError as error:
    print(error)
else:
    (Path(sys.argv[1]) / "resolved.yaml").write_text(write_resolved(recipe))
    read_resolved(Path(sys.argv[1]) / "resolved.yaml", folder=recipe.folder)
for name in ("trap", "torch", "stable_baselines3", "gymnasium", "wandb", "sky"):
    assert name not in sys.modules, name
"""

TRAPS = {
    "the curriculum's class": "curriculum: {_target_: trap.Curriculum, stages: [a, b]}\n",
    "a stage's environment": "curriculum: {stages: ['trap:Env-v0', b]}\n",
    "a target within": "curriculum: {stages: [a, b], env_overrides: {x: {_target_: trap.Env}}}\n",
    "a trainer's argument": "curriculum: {stages: [a, b]}\n",
    "hydra's search path": "defaults: [_self_]\nhydra: {searchpath: ['pkg://trap']}\ncurriculum: {stages: [a, b]}\n",
    "a python tag": "curriculum: {stages: [a, b], env_overrides: {x: !!python/name:trap.x }}\n",
}


@pytest.mark.parametrize("text", TRAPS.values(), ids=TRAPS)
def test_reading_a_recipe_imports_nothing_that_it_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap" / "__init__.py").write_text(
        "from pathlib import Path\nPath(__file__).parents[1].joinpath('sprung').touch()\n"
    )
    (tmp_path / "r.yaml").write_text(text + "trainer: {total_timesteps: 1, policy: trap.Policy}\n")
    subprocess.run([sys.executable, "-c", PROBE, str(tmp_path)], check=True, timeout=60)
    assert not (tmp_path / "sprung").exists()
