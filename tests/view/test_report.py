"""The report's page: what it says, and that nothing in it is fetched or obeyed."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from stagectl.cli import run_command
from stagectl.errors import StorageError, UsageError
from stagectl.simulate import Price, comparison_of
from stagectl.view.file import write_file
from stagectl.view.plot import save_plot
from stagectl.view.report import simulation_report
from stagectl.view.report.run import run_report
from tests.view.learners import simulation
from tests.view.story import ALIVE, GONE, Story, on_cluster
from tests.view.test_simulation import sweep

RECIPE = "curriculum:\n  stages: [<b>a</b>]\n"
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """A page's tags and its visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.data: list[str] = []
        self._in = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag

    def handle_data(self, data: str) -> None:
        where = self.data if self._in == "script" else self.said
        where.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


def simulated(seeds: int = 5) -> str:
    return simulation_report(comparison_of([simulation(seeds, rollouts=76)]), [("doorkey.yaml", RECIPE)], sweep())


def ran(story: Story | None = None) -> str:
    told = story or Story().begin().learn(80).end()
    alive = ALIVE if told.status.ended is None else GONE
    return run_report(told.run, told.told, alive, RECIPE, told.now + 60)


@pytest.mark.parametrize("page", [simulated(), ran()])
def test_a_page_fetches_nothing(page: str) -> None:
    links = [
        value for _, attributes in Page(page).tags for name, value in attributes.items() if name in ("src", "href")
    ]
    assert {link[:1] for link in links if link} <= {"#", "d"}
    assert "default-src 'none'" in page
    assert "url(" not in re.sub(r"url\(#", "", page)
    assert len(page) < 80_000


def test_the_answer_is_the_heading_and_the_title() -> None:
    page = simulated()
    answer = "doorkey_16 would have been left at 141,312 steps (90 %: 129.9k or more), in 3 of 5 seeds."
    assert page.count(answer) == 1
    assert answer.removeprefix("doorkey_16") in re.findall("<h1.*?</h1>", page)[0]


def test_a_page_has_its_tables_its_recipe_and_what_was_assumed() -> None:
    text = Page(simulated()).text
    for part in (
        "Stages",
        "Seed by seed",
        "Sweep",
        "Assumptions",
        "Recipe",
        "an earlier exit changes",
        "stages: [<b>a</b>]",
    ):
        assert part in text
    assert "≥ 155,648" in text


def test_whatever_a_stage_is_named_stays_text() -> None:
    named = simulation(2, rollouts=30, stages=(EVIL, "b"))
    pages = [
        simulation_report(comparison_of([named])),
        ran(Story(({"name": EVIL, "curriculum": "a"}, "b")).begin().learn(30)),
    ]
    for page in pages:
        assert EVIL not in page
        assert EVIL in Page(page).text
        scripts = [attributes for tag, attributes in Page(page).tags if tag == "script"]
        assert scripts == [{"type": "application/json"}, {}]


def test_the_chart_has_every_visit_and_every_point() -> None:
    told = simulation(2, rollouts=76)
    chart = json.loads(Page(simulation_report(comparison_of([told]))).data[0])
    rows, curves = chart["panels"]
    assert [row["name"] for row in rows["rows"]] == ["doorkey-seed-0", "doorkey-seed-1", "median"]
    for row, timeline in zip(rows["rows"], told.timelines, strict=False):
        assert [bar[1] for bar in row["bars"]] == [timeline.stages[curve.stage].name for curve in timeline.curves]
        assert row["bars"][-1][3] == timeline.total_steps
        assert row["bars"][-1][5] == timeline.is_censored
    assert [line["x"] for line in curves["lines"]] == [list(c.steps) for t in told.timelines for c in t.curves]


def test_recipes_are_compared_side_by_side() -> None:
    recipes = [simulation(3, rollouts=120), simulation(3, "lower.yaml", rollouts=120, performance_threshold=0.6)]
    text = Page(simulation_report(comparison_of(recipes, Price(2.5, 40)))).text
    assert "steps sooner than recipes/doorkey.yaml" in text
    assert "Comparison" in text


def test_a_run_tells_its_transitions_checkpoints_and_evaluations() -> None:
    told = Story().begin().learn(30)
    told.tell("metrics", metrics={"eval/empty/success_rate": 0.5, "loss": 1.0})
    told.tell("checkpoint", path="checkpoints/step-000000061440", stage="doorkey_6")
    told.tell("metrics", metrics={"eval/empty/success_rate": 0.75})
    page = Page(ran(told.learn(60).end()))
    for part in ("empty → doorkey_6", "checkpoints/step-000000061440", "Evaluations", "success rate 0.75"):
        assert part in page.text
    chart = json.loads(page.data[0])
    assert [panel["title"] for panel in chart["panels"]] == ["", "performance", "evaluation: success rate"]
    assert [line["y"] for line in chart["panels"][2]["lines"]] == [[0.5, 0.75]]
    assert "loss" not in page.text


def test_a_run_that_goes_on_says_what_it_waits_for() -> None:
    told = Story().begin().learn(8)
    assert "waiting for: performance" in Page(ran(told)).text


def test_a_run_on_a_cluster_tells_where_it_ran_and_what_it_cost() -> None:
    story = Story().begin().learn(80).end()
    text = Page(run_report(story.run, story.told, on_cluster("SUCCEEDED"), RECIPE, story.now + 60)).text
    assert "cluster aws" in text
    assert "spent ≈ $0.69" in text
    assert "doorkey_8 done 0.89 0.80 83,968 124,928 40,960 180 1 $0.17" in text
    assert "spent" not in Page(ran(story)).text


def test_a_run_that_has_only_just_been_made_has_a_page() -> None:
    assert "starting" in Page(ran(Story())).text


def test_attempts_are_told_with_what_the_later_ones_did_away_with() -> None:
    told = Story().begin().learn(10)
    kept, step = len(told.events), told.step
    told.learn(5)
    told.attempt, told.step = 2, step
    told.tell("attempt_ended", exit_code=-9, killed=False)
    begins = {"after": kept, "path": None, "reason": "exit code -9", "rejected": ["step 4096: damaged"]}
    told.tell("attempt_started", **begins)
    text = Page(ran(told)).text
    assert "exit code -9; passed over: step 4096: damaged" in text
    assert f"{step:,}" in text
    chart = json.loads(Page(ran(told)).data[0])
    assert max(chart["panels"][1]["lines"][0]["x"]) == step


def test_the_command_writes_a_page_and_says_where(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = Story().begin().learn(80).end().write(home / ".stagectl" / "runs")
    paths.recipe.write_text(RECIPE)
    paths.identity.write_text("{}")
    file = tmp_path / "page.html"
    assert run_command(["report", "latest", "--to", str(file)]) == 0
    assert "wrote " in capsys.readouterr().err
    assert file.read_text().startswith("<!doctype html>")
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere.page\.html: cannot be written: No such file"):
        write_file(tmp_path / "nowhere" / "page.html", "")


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_a_plot_is_written_the_same_each_time(tmp_path: Path, kind: str) -> None:
    told = simulation(3, rollouts=60, stages=("cost $a$", "b"))
    pictures = []
    for name in ("a", "b"):
        file = tmp_path / f"{name}.{kind}"
        save_plot(told, file)
        pictures.append(file.read_bytes())
    assert pictures[0] == pictures[1]
    if kind == "svg":
        assert "cost $a$" in pictures[0].decode()


def test_a_plot_in_no_format_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a plot is written as \.svg, \.png, \.pdf"):
        save_plot(simulation(1), tmp_path / "plot.docx")


def test_a_checkpoint_that_was_not_kept_is_marked() -> None:
    story = Story(["a", "b"]).begin()
    for number in (1, 2):
        story.tell("checkpoint", path=f"checkpoints/step-{number}", stage="a")
    told = (story.run, list(story.told), ALIVE, RECIPE, story.now)
    marked = Page(run_report(*told, {"checkpoints/step-2"})).text
    assert marked.count("not kept") == 1
    assert "checkpoints/step-1 0 a not kept" in " ".join(marked.split())
    assert "not kept" not in Page(run_report(*told)).text
