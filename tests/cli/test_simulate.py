"""`simulate` and `suggest`: their output is the result alone, files appear whole, and a user's class is the user's."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stagectl
from stagectl import attach
from stagectl.cli import run_command

CLASS = """
from stagectl import StagedProgressiveCurriculum
print("loaded")
class Loud(StagedProgressiveCurriculum):
    def _should_transition_to_next_stage(self):
        print("asked")
        return {answer}
"""


@pytest.fixture(autouse=True)
def _in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("tested_loud", None)


def simulate_own_class(answer: str) -> int:
    Path("tested_loud.py").write_text(CLASS.format(answer=answer))
    Path("trace.csv").write_text("step,score\n10,1\n20,1\n30,1\n")
    Path("r.yaml").write_text(
        "trainer: {total_timesteps: 20}\ncurriculum: {_target_: tested_loud.Loud, stages: [a, b], min_episodes: 1}\n"
    )
    return run_command(["simulate", "trace.csv", "--recipe", "r.yaml", "-o", "json"])


def test_what_a_users_class_prints_is_no_part_of_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate_own_class("False") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["transitions"] == []
    assert err.startswith("loaded\nasked\n")


def test_what_a_users_class_raises_is_an_error_of_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate_own_class("1 / 0") == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], error["message"]) == (
        "recipe",
        "Loud failed at step 10: ZeroDivisionError: division by zero",
    )


def test_the_recipes_step_budget_ends_the_replay(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate_own_class("False") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["total_steps"], data["budget_spent"]) == (20, True)


# ── several recordings and recipes ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def recordings() -> None:
    """Five seeds whose success rises to 1 at step 1,000 to 1,400, and two recipes."""
    for seed in range(5):
        learnt = 1000 + 100 * seed
        rows = [f"{step},{min(1.0, step / learnt)}" for step in range(10, 8001, 10)]
        Path(f"seed{seed}.csv").write_text("\n".join(["step,score", *rows]) + "\n")
    for name, threshold in (("early", 0.5), ("late", 0.9)):
        settings = f"performance_threshold: {threshold}, transition_smoothing: 1.0, min_episodes: 1"
        Path(f"{name}.yaml").write_text(f"curriculum: {{stages: [a, b], {settings}}}\n")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert run_command([*arguments, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("recordings")
def test_several_recordings_have_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    data = printed(capsys, "simulate", "seed*.csv", "--recipe", "early.yaml")
    assert [timeline["trace"] for timeline in data["timelines"]] == [f"seed{seed}.csv" for seed in range(5)]
    left = data["summary"]["stages"][0]["left"]
    assert (left["median"], left["reached"], left["of"], left["confidence"]) == (600, 5, 5, 0.9)
    assert 500 <= left["low"] < 600 < left["high"] <= 700


@pytest.mark.usefixtures("recordings")
def test_two_recipes_are_compared_in_steps_and_money(capsys: pytest.CaptureFixture[str]) -> None:
    recipes = ("--recipe", "early.yaml", "--recipe", "late.yaml")
    cost = ("--price", "3.6/hour", "--steps-per-second", "1")
    data = printed(capsys, "simulate", "seed*.csv", *recipes, *cost)
    assert [simulation["recipe"] for simulation in data["simulations"]] == ["early.yaml", "late.yaml"]
    first = data["differences"][0]
    assert (first["stage"], first["steps"]["median"]) == ("a", 480)
    assert first["cost"]["median"] == pytest.approx(0.48)


@pytest.mark.usefixtures("recordings")
def test_a_sweep_has_a_row_a_variant(capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ("--sweep", "performance_threshold=0.5,0.9", "--sweep", "min_episodes=1,100")
    data = printed(capsys, "simulate", "seed0.csv", "--recipe", "early.yaml", *sweep)
    assert [variant["values"]["min_episodes"] for variant in data["variants"]] == [1, 100, 1, 100]
    assert [variant["steps"]["a"] for variant in data["variants"]] == [500, 1000, 900, 1000]
    assert [variant["false_exits"] for variant in data["variants"]] == [0, 0, 0, 0]


@pytest.mark.usefixtures("recordings")
def test_csv_has_a_row_a_seed_and_stage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["simulate", "seed0.csv", "seed1.csv", "--recipe", "early.yaml", "-o", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["trace"], row["name"], row["left"]) for row in rows] == [
        ("seed0.csv", "a", "500"),
        ("seed0.csv", "b", ""),
        ("seed1.csv", "a", "550"),
        ("seed1.csv", "b", ""),
    ]


@pytest.mark.usefixtures("recordings")
def test_a_step_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    (told,) = printed(capsys, "simulate", "seed0.csv", "--recipe", "early.yaml", "--explain", "123")["explanations"]
    assert (told["step"], told["stage"]) == (120, "a")
    assert [(term["name"], term["value"], term["holds"]) for term in told["terms"]] == [
        ("performance", 0.12, False),
        ("episodes", 12.0, True),
    ]


@pytest.mark.usefixtures("recordings")
def test_a_suggestion_is_printed_ready_for_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["suggest", "seed*.csv"]) == 0
    assert capsys.readouterr().out.startswith("curriculum: {performance_threshold: 0.5, transition_smoothing: ")


@pytest.mark.usefixtures("recordings")
def test_every_key_that_is_printed_stands_on_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    recipes = ("--recipe", "early.yaml", "--recipe", "late.yaml", "--price", "1/hour", "--steps-per-second", "1")
    printings = [
        printed(capsys, "simulate", "seed0.csv"),
        printed(capsys, "simulate", "seed*.csv", *recipes),
        printed(capsys, "simulate", "seed0.csv", "--sweep", "min_episodes=1,2"),
        printed(capsys, "simulate", "seed0.csv", "--explain", "1k"),
        printed(capsys, "suggest", "seed0.csv"),
    ]
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
    by_name = {"stage_0", "stage_1", "stage_2", "min_episodes"}
    assert {key for data in printings for key in keys_of(data)} - set(re.findall(r"`([a-z_]+)`", page)) <= by_name


def keys_of(data: Any) -> Iterator[str]:
    below = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    yield from data if isinstance(data, dict) else ()
    for value in below:
        yield from keys_of(value)


@pytest.mark.usefixtures("recordings")
def test_a_report_and_a_plot_are_written_beside_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["simulate", "seed0.csv", "--plot", "out.svg", "--report", "out.html"]) == 0
    assert capsys.readouterr().err == "wrote out.svg\nwrote out.html\n"
    assert "<svg" in Path("out.svg").read_text()
    assert "</html>" in Path("out.html").read_text()


@pytest.mark.usefixtures("recordings")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a=b"], "there is no TRACE to replay"),
        (["seed0.csv", "--price", "2/hour"], "a cost needs both"),
        (["seed0.csv", "--price", "2/day", "--steps-per-second", "9"], "a price is by the hour"),
        (["seed0.csv", "--price", "2/hour", "--steps-per-second", "9"], "--price is of the difference between recipes"),
        (["seed0.csv", "--score-range", "3"], "--score-range 3 is no range"),
        (["seed0.csv", "--sweep", "performance_treshold=1"], "did you mean 'performance_threshold'?"),
        (["seed0.csv", "--sweep", "min_episodes=1", "--explain", "3"], "--explain is of one recipe"),
        (
            ["seed0.csv", "--recipe", "early.yaml", "--recipe", "late.yaml", "--plot", "o.svg"],
            "--plot is of one recipe",
        ),
        (["seed0.csv", "--explain", "soon"], "--explain soon: is no step"),
        (["seed0.csv", "--plot", "out.doc"], "out.doc: a plot is written as"),
        (["seed9*.csv"], "seed9*.csv: no file matches"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_writes_nothing(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(Path().iterdir())
    assert run_command(["simulate", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, said in err) == ("", True), err
    assert set(Path().iterdir()) == before


# ── options that would do nothing ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def run() -> None:
    """A run `told` of two episodes."""
    Path("told.yaml").write_text(
        "run: told\ntrainer: {command: [none], total_timesteps: 20}\ncurriculum: {stages: [a, b]}\n"
    )
    with stagectl.attach("told.yaml") as session:
        for step in (10, 20):
            session.curriculum.get_task().complete(1.0)
            session.update_step_count(step)


SWEEP = ("--sweep", "min_episodes=1,2")
TWO = ("--recipe", "early.yaml", "--recipe", "late.yaml", "--price", "1/hour", "--steps-per-second", "1")


@pytest.mark.usefixtures("recordings")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rank", "steps"), "--rank orders the variants of a sweep, and there is no --sweep"),
        (("--window", "5"), "--window is for judging the exits of a sweep, and there is no --sweep"),
        (("--window", "5", "--explain", "100"), "and there is no --sweep"),
        (("--explain", "100", "--report", "r.html"), "--explain does not go into a --report"),
        (("--stages", "2", "--recipe", "early.yaml"), "the recipe has its own"),
        ((*TWO, "-o", "csv"), "--price does not show in -o csv"),
        ((*SWEEP, "--rank", "finished", "-o", "json"), "--rank does not show in -o json"),
        ((*SWEEP, *SWEEP), "--sweep: min_episodes is there twice"),
        (
            ("--sweep", "stages.stage_1.max_steps=1,2", "--sweep", "stages.1.max_steps=3,4"),
            "stages.1.max_steps and stages.stage_1.max_steps are the same",
        ),
        (("--sweep", "min_episodes=,,"), "names no values"),
        (("--sweep", "min_episodes=1:2000:1", "--sweep", "max_steps=1:2000:1"), "4,000,000 variants"),
        (("--steps-per-row", "5", "--step-column", "step"), "--step-column is about one"),
        (("--steps-per-row", "5", "--step-factor", "2"), "--step-factor is about one"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(Path().iterdir())
    assert run_command(["simulate", "seed0.csv", *arguments]) == 2
    shown = "".join(capsys.readouterr())
    assert said in shown, shown
    assert set(Path().iterdir()) == before


@pytest.mark.usefixtures("recordings")
def test_a_report_shows_what_the_printed_rows_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["simulate", "seed0.csv", *TWO, "-o", "csv", "--report", "out.html"]) == 0
    ranked = ("--rank", "finished", "-o", "json", "--report", "ranked.html")
    assert run_command(["simulate", "seed0.csv", *SWEEP, *ranked]) == 0


def test_stages_are_not_counted_where_the_recording_tells_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("staged.csv").write_text("step,stage,score\n10,a,1\n20,b,1\n")
    assert run_command(["simulate", "staged.csv", "--stages", "5"]) == 2
    assert "--stages is for recordings that tell no stage, and staged.csv tells its own" in capsys.readouterr().err


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("command", ["simulate", "suggest"])
@pytest.mark.parametrize(
    "told",
    [
        ("--score-range", "0:2"),
        ("--step-factor", "2"),
        ("--score-column", "score"),
        ("--run-column", "seed"),
        ("--count-column", "n"),
        ("--steps-per-row", "2"),
    ],
)
def test_what_tables_need_told_is_not_told_of_a_run(
    command: str, told: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command([command, "told", *told]) == 2
    assert f"{told[0]} is for tables, and told is a run" in capsys.readouterr().err


def test_what_is_neither_a_file_nor_a_run_is_not_called_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["simulate", "absent", "--step-factor", "2"]) == 2
    assert "absent: no such file, and no run" in capsys.readouterr().err


@pytest.mark.usefixtures("run")
def test_beside_a_run_a_table_may_have_a_range_of_scores(capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.csv").write_text("step,stage,score\n10,a,200\n20,b,200\n")
    assert run_command(["simulate", "told", "other.csv", "--score-range", "0:200", "-o", "csv"]) == 0


def test_a_name_in_csv_is_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    Path("trace.csv").write_text("step,stage,score\n10,a\x1b[31mred\x07,1\n20,b,1\n")
    for more in ((), SWEEP, ("--explain", "10")):
        assert run_command(["simulate", "trace.csv", "-o", "csv", *more]) == 0
        out = capsys.readouterr().out
        assert "a[31mred" in out
        assert [char for char in out if not char.isprintable() and char != "\n"] == []


def test_a_note_that_is_so_of_every_recording_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(5):
        rows = [f"{step},{min(100, step)},4" for step in range(1, 900)]
        Path(f"means{seed}.csv").write_text("\n".join(["step,score,n", *rows]) + "\n")
    for command in (("simulate", "means*.csv", *SWEEP), ("suggest", "means*.csv")):
        assert run_command([*command, "--score-range", "0:100", "--count-column", "n"]) == 0
        out = capsys.readouterr().out
        assert out.count("a score of 0 counts as 0, one of 100 as 1") == 1
        assert "means0.csv and 4 more: each score is the mean of as many episodes as n says" in out


def test_a_run_is_replayed_with_its_own_recipe_and_values_laid_over_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "run: own\ntrainer: {command: [none], total_timesteps: 1k}\n"
        "curriculum: {stages: [a, b], transition_criteria: time, time_threshold_steps: 300}\n"
    )
    with attach(recipe) as session:
        for step in range(100, 1100, 100):
            session.curriculum.get_task().complete(1.0)
            session.update_step_count(step)
    assert run_command(["simulate", "own", "-o", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["recipe"] == str(session.paths.recipe)
    assert [moved["step"] for moved in data["transitions"]] == [300]
    assert run_command(["simulate", "own", "curriculum.time_threshold_steps=200", "-o", "json"]) == 0
    assert [moved["step"] for moved in json.loads(capsys.readouterr().out)["transitions"]] == [200]
