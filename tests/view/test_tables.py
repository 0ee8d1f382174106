"""The list of runs, a timeline and a plan."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from stagectl.curriculum import CurriculumEnd, StageTransition
from stagectl.runs import RunStatus
from stagectl.simulate import StageSpan, Timeline
from stagectl.view import (
    plan_panel,
    plan_text,
    run_rows,
    run_table,
    run_table_text,
    timeline_panel,
    timeline_picture,
    timeline_text,
)
from tests.view.story import ALIVE, GONE, START, Story, on_cluster

WIDTHS = [30, 60, 80, 140]


def runs() -> list[Any]:
    return [
        (Story().begin().learn(46).status, ALIVE),
        (Story(run="x" * 40).begin().learn(20).status, GONE),
        (RunStatus("torn"), None),
    ]


def timeline() -> Timeline:
    spans = (
        StageSpan(0, "empty", 0, 30_000, 30_000, 120, 0.81),
        StageSpan(1, "middle" * 12, 30_000, 100_000, 70_000, 300, 0.2),
        StageSpan(2, "last", 100_000, 150_000, 50_000, 90, 0.9),
        StageSpan(3, "never", None, None, 0, 0, None),
    )
    moves = (
        StageTransition(0, 1, "empty", "middle" * 12, 30_000, 0.81, "performance"),
        StageTransition(1, 2, "middle" * 12, "last", 100_000, 0.2, "timeout"),
        CurriculumEnd("stopped", 2, "last", 150_000, 0.9, "timeout"),
    )
    return Timeline(spans, moves, 150_000, 510, ("the trace has no stage column",))


def plan(**changes: Any) -> dict[str, Any]:
    stages = [
        {
            "index": index,
            "name": name,
            "curriculum": f"MiniGrid-{name}-v0",
            "criterion": "performance >= 0.8 after 10 episodes",
            "max_steps": 300_000 if index else None,
            "on_timeout": "fail" if index else None,
            "env_overrides": {"max_steps": 200},
        }
        for index, name in enumerate(("empty", "doorkey"))
    ]
    return {
        "recipe": "doorkey",
        "run": None,
        "backend": "local",
        "command": ["python", "my train.py"],
        "folder": "/home/me",
        "imports": ["my_module.Custom"],
        "total_timesteps": 400_000,
        "seed": 0,
        "trainer": {"algorithm": "PPO"},
        "stages": stages,
        "wandb": "off",
        **changes,
    }


def drawn(renderable: Any, width: int) -> list[str]:
    console = Console(width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get().split("\n")


@pytest.mark.parametrize("width", WIDTHS)
def test_no_picture_is_wider_than_the_terminal(width: int) -> None:
    for picture in (run_table(runs(), width, START + 90), timeline_panel(timeline(), width), plan_panel(plan(), width)):
        assert max(map(cell_len, drawn(picture, 1_000))) <= width


def test_ids_are_whole_in_sixty_columns() -> None:
    lines = run_table(runs(), 60, START + 90).plain.split("\n")
    assert [line.split()[0] for line in lines[1:]] == ["doorkey-20261125-k7mq", "x" * 40, "torn"]
    assert "3/4 doorkey_8" in run_table(runs()[:1], 60, START).plain  # an id that leaves room for it takes nothing away


def test_a_piped_list_is_complete() -> None:
    lines = run_table_text(runs(), START + 90).split("\n")
    assert lines[0].split() == ["RUN", "RECIPE", "STATE", "STAGE", "STEP", "ELAPSED", "SEEN"]
    assert lines[2].startswith("x" * 40 + "  doorkey")
    assert "…" not in "".join(lines)


def test_a_run_whose_log_is_damaged_is_listed_as_such() -> None:
    assert run_rows([(RunStatus("torn"), None)], START)[0][:3] == ("torn", "—", "damaged")


def test_a_run_on_a_cluster_that_nobody_follows_is_not_listed_as_running() -> None:
    status = Story().begin().learn(20).status
    listed = [(status, on_cluster(followed=False)), (status, on_cluster("RECOVERING")), (status, on_cluster())]
    assert [row[2] for row in run_rows(listed, START + 90)] == ["unfollowed", "recovering", "running"]


def test_no_runs_give_the_header_alone() -> None:
    assert run_table_text([], START).startswith("RUN")
    assert run_table([], 60, START).plain.strip().startswith("RUN")


def test_a_timeline_tells_why_each_stage_was_left() -> None:
    lines = timeline_text(timeline()).split("\n")
    assert [line.split("  ")[-1].strip() for line in lines[1:5]] == [
        "performance",
        "timeout",
        "timeout, stopped",
        "not reached",
    ]
    assert "150,000 steps, 510 episodes, 2 transitions" in lines
    assert "the trace has no stage column" in lines


def test_bars_of_a_timeline_follow_one_another() -> None:
    rows = timeline_picture(timeline(), 100).plain.split("\n")[:3]
    ends = [(row.index("━"), row.rindex("━")) for row in rows]
    assert all(0 <= later[0] - earlier[1] <= 1 for earlier, later in pairwise(ends))
    assert [row.split()[-1] for row in rows] == ["30,000", "100,000", "150,000"]


def test_a_timeline_over_nothing_is_shown() -> None:
    empty = Timeline((StageSpan(0, "a", 0, None, 0, 0, None),), (), 0, 0)
    assert "the trace ends" in timeline_text(empty)
    assert drawn(timeline_panel(empty, 60), 60)


def test_a_plan_names_what_it_would_start_and_import() -> None:
    for shown in (plan_text(plan()), plan_panel(plan(), 60).plain, plan_panel(plan(), 140).plain):
        for word in (
            "python 'my train.py'",
            "my_module.Custom",
            "400,000 steps",
            "MiniGrid-doorkey-v0",
            "the run fails",
        ):
            assert word in shown


def test_a_setting_that_every_stage_shares_is_told_once() -> None:
    assert plan_text(plan()).count("max_steps=200") == 1
    stages = plan()["stages"]
    other = [stages[0], {**stages[1], "env_overrides": {}}]
    assert "env 1" in plan_text(plan(stages=other))
