"""What a simulation shows: the answer first, then the table and the picture that it rests on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from rich.console import Console

from stagectl.curriculum import Term
from stagectl.simulate import Estimate, Price, comparison_of
from stagectl.simulate.explain import Explanation
from stagectl.simulate.suggest import Suggestion
from stagectl.simulate.sweep import Axis, Sweep
from stagectl.view.answer import answer, interval, plain
from stagectl.view.curve import curve_lines
from stagectl.view.explanation import explanation_panel, explanation_text, suggestion_panel, suggestion_text
from stagectl.view.seeds import seeds_picture, short_names, summary_rows
from stagectl.view.simulation import comparison_panel, comparison_text, notes_of, simulation_panel, simulation_text
from stagectl.view.sweep import heat_map, ranked, sweep_panel, sweep_text
from tests.view.learners import simulation, timeline

WIDTHS = [40, 60, 80, 120]


def drawn(renderable: Any, width: int) -> list[str]:
    console = Console(width=1_000, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get().split("\n")


def sweep() -> Sweep:
    """Thresholds by smoothings over two traces: a higher threshold takes longer, the highest is reached by none."""
    axes = (Axis("performance_threshold", (0.6, 0.7, 0.8)), Axis("stages.0.transition_smoothing", (0.01, 0.1)))
    left = np.full((3, 2, 2, 2), np.nan)
    for at in range(2):
        left[at, :, :, 0] = 10_000 * (at + 1)
        left[at, :, :, 1] = 30_000 * (at + 1)
    judged = np.isfinite(left)
    fell_back = np.zeros_like(judged)
    fell_back[0, 1, :, 0] = True
    finished = judged.all(-1)
    steps = np.diff(left, prepend=0, axis=-1)
    return Sweep(
        axes, ("empty", "doorkey"), ("a", "b"), left, steps, judged, fell_back, finished, notes=("by the core",)
    )


def explanation() -> Explanation:
    terms = (Term("performance", 0.74, 0.8), Term("episodes", 312, 50, holds=True))
    return Explanation("runs/a", 50_000, 49_152, "doorkey_6", 14_336, 312, 0.74, terms)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_picture_is_wider_than_the_terminal(width: int) -> None:
    other = simulation(3, "recipes/lower.yaml", performance_threshold=0.6)
    suggestion = Suggestion(0.75, 0.02, 1, 40, ("0.7 fell back after 9 of 40 exits",), "performance_threshold: 0.75")
    for picture in (
        simulation_panel(simulation(1), width),
        simulation_panel(simulation(30), width),
        comparison_panel(comparison_of([simulation(3), other], Price(2.5, 40_000)), width),
        sweep_panel(sweep(), width),
        explanation_panel(explanation(), width),
        suggestion_panel(suggestion, width),
    ):
        assert max(map(cell_len, drawn(picture, width))) <= width


def test_the_answer_comes_first_with_how_sure_it_is() -> None:
    told = simulation(5, rollouts=120)
    assert told.summary is not None
    last = told.summary.stages[-1].left
    assert last.median is not None
    first = simulation_text(told).split("\n")[0]
    assert first.startswith(f"doorkey_16 would have been left at {last.median:,.0f} steps (90 %: ")
    assert first.endswith("), in 5 of 5 seeds.")


def test_a_stage_that_the_recording_does_not_end_takes_at_least_its_steps() -> None:
    short = simulation(1, rollouts=20)
    assert plain(answer(short)) == "empty is not left in the data, in ≥ 40,960 steps."
    row = simulation_text(short).split("\n")[3]
    assert "≥ 40,960" in row
    assert row.endswith("not reached in the data")


def test_a_median_that_too_few_seeds_reach_is_told_as_a_bound() -> None:
    short = simulation(5, rollouts=46)
    rows = summary_rows(short)
    assert rows[2][1:3] == ("≥ 94,208", "—")
    assert rows[2][-1] == "0 of 5"
    assert rows[3][1] == "—"


def test_an_interval_that_the_data_do_not_bound_is_open() -> None:
    assert interval(Estimate(5e4, 4e4, None, 3, 5, 0.9)) == "40k or more"
    assert interval(Estimate(5e4, None, 6e4, 3, 5, 0.9)) == "60k or less"
    assert interval(Estimate(-5e4, -6e4, -4e4, 5, 5, 0.9)) == "-60k to -40k"


def test_a_bar_a_seed_shows_its_stages_and_where_it_ends() -> None:
    told = simulation(5, rollouts=80)
    lines = seeds_picture(told.timelines, 100).plain.split("\n")
    for line, each in zip(lines, told.timelines, strict=False):
        assert line.split()[0] == each.trace.removeprefix("runs/")
        assert line.count("╸") == len(each.curves)
        assert line.rstrip().endswith(f"{each.total_steps:,}")


def test_names_of_traces_are_told_without_what_they_share() -> None:
    assert short_names(["/data/a/1.csv", "/data/b/1.csv"]) == ["a", "b"]
    assert short_names(["/data/one.csv"]) == ["one.csv"]
    assert short_names(["/runs/a/events.jsonl", "/runs/b/events.jsonl"]) == ["a", "b"]
    assert short_names(["", ""]) == ["seed 1", "seed 2"]


def test_curves_thresholds_and_transitions_share_the_axis_of_the_bars() -> None:
    one = timeline(1, rollouts=80)
    room, gutter = 60, 10
    lines = [line.plain for line in curve_lines(one.curves, one.total_steps, [one.total_steps // 2], room, 8, gutter)]
    assert all(len(line) == gutter + room for line in lines)
    assert {line[gutter + 30] for line in lines} & {"│"}
    assert "╌" in lines[1]
    assert lines[0].lstrip().startswith("1.00")
    assert lines[-1].lstrip().startswith("0.00")


def test_a_curve_over_nothing_is_not_drawn() -> None:
    assert curve_lines((), 100, (), 60, 8, 10) == []


def test_a_comparison_says_who_is_sooner_and_what_it_saves() -> None:
    recipes = [
        simulation(5, rollouts=120),
        simulation(5, "recipes/lower.yaml", rollouts=120, performance_threshold=0.6),
    ]
    told = comparison_text(comparison_of(recipes, Price(2.5, 40)))
    first = told.split("\n")[0]
    assert first.startswith("recipes/lower.yaml is through ")
    assert " steps sooner than recipes/doorkey.yaml (9" in first
    assert "which saves " in first
    assert [line for line in told.split("\n") if line.startswith("lower.yaml    doorkey_16")]


def test_a_sweep_lists_the_best_variant_first_and_what_is_never_left_last() -> None:
    lines = sweep_text(sweep()).split("\n")
    varied = ["performance_threshold", "empty.transition_smoothing"]
    assert lines[0].split() == [*varied, "empty", "doorkey", "ALL", "FALSE", "EXITS", "FINISHED"]
    assert lines[1].split() == ["0.6", "0.01", "10k", "20k", "30k", "0", "of", "4", "2", "of", "2"]
    assert lines[-3].split()[-5:] == ["—", "—", "0", "of", "2"]
    assert lines[-1] == "by the core"


def test_a_sweep_is_ranked_by_what_is_asked_for() -> None:
    assert ranked(sweep())[:2] == [(0, 0), (0, 1)]
    assert ranked(sweep(), "false_exits")[:4] == [(0, 0), (1, 0), (1, 1), (0, 1)]


def test_a_heat_map_has_a_cell_a_variant() -> None:
    lines = heat_map(sweep(), 60).plain.split("\n")
    assert [line.split() for line in lines[1:]] == [
        ["0.01", "0.1"],
        ["0.6", "30k", "30k"],
        ["0.7", "60k", "60k"],
        ["0.8", "—", "—"],
    ]


def test_an_explanation_tells_what_blocks() -> None:
    told = explanation_text(explanation())
    assert "step         49,152; the last before 50,000" in told
    assert "waiting for  performance 0.74 of 0.80; episodes 312 of 50 ok" in told


def test_a_suggestion_can_be_copied_into_a_recipe() -> None:
    told = suggestion_text(
        Suggestion(0.75, 0.02, 1, 40, ("because",), "performance_threshold: 0.75\ntransition_smoothing: 0.02\n")
    )
    assert told.startswith("performance_threshold: 0.75\ntransition_smoothing: 0.02\n\n")
    assert "1 of 40 exits were false" in told


def test_a_note_on_every_seed_is_told_once() -> None:
    notes = [f"stage 'a_{stage}' is left {number:,} steps early" for stage in (1, 2) for number in (2_048, 4_096)]
    told = replace(simulation(4), notes=tuple(notes))
    assert notes_of(told) == [
        "stage 'a_1' is left 2,048 steps early; and so, with other numbers, 1 more time",
        "stage 'a_2' is left 2,048 steps early; and so, with other numbers, 1 more time",
    ]
