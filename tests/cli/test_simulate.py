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
