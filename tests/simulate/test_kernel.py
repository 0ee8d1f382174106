"""What is passed over in one go goes as the core would have played it, to the bit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import accumulate
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagectl import StagedProgressiveCurriculum
from stagectl.curriculum.smoothing import Ema
from stagectl.errors import StagectlError
from stagectl.simulate import Timeline, averages, kernel, replay
from stagectl.simulate.together import boundaries_of
from stagectl.traces import Row, Trace, trace_of, trace_of_rows
from stagectl.traces.rows import taken


@contextmanager
def small() -> Iterator[None]:
    """Lanes and portions so small that a short trace has many."""
    with (
        patch.multiple(averages, LANES=(2, 5), LENGTH=8, MEETING=4, IN_TURN=64),
        patch.multiple(kernel, FIRST_ROWS=16, MOST_ROWS=4096, WORTHWHILE=2, CORE_ROWS=7),
    ):
        yield


def by_the_core(curriculum: StagedProgressiveCurriculum, trace: Trace, **told: object) -> Timeline:
    with patch.object(kernel, "why_not", lambda curriculum: "the core is asked"):
        return replay(curriculum, trace, **told)  # type: ignore[arg-type]


def stages(*settings: dict[str, object], **common: object) -> StagedProgressiveCurriculum:
    named = [{"name": f"s{at}", "curriculum": "env", **own} for at, own in enumerate(settings)]
    return StagedProgressiveCurriculum(named, **common)  # type: ignore[arg-type]


THRESHOLD = 0.625


def has_effect(key: str, stage: dict[str, object]) -> bool:
    """Keys without any are refused."""
    without = {"performance": ["time_threshold_steps"], "time": ["performance_threshold", "min_episodes"]}
    no_timeout = key == "on_timeout" and "max_steps" not in stage
    return not no_timeout and key not in without.get(str(stage["transition_criteria"]), [])


one_stage = st.fixed_dictionaries(
    {
        "transition_criteria": st.sampled_from(["performance", "performance", "time", "both", "either"]),
        "performance_threshold": st.sampled_from([THRESHOLD, 5e-324, 1.0, 0.3, math.nextafter(1, 0)]),
        "transition_smoothing": st.sampled_from([0.5, 0.3, 0.9, 1.0, 0.1, 0.1]),
        "time_threshold_steps": st.sampled_from([1, 40, 500]),
        "min_episodes": st.sampled_from([1, 2, 30, 100]),
    },
    optional={
        "max_steps": st.sampled_from([10, 300, 2000]),
        "on_timeout": st.sampled_from(["advance", "stop", "fail"]),
    },
).map(lambda stage: {key: value for key, value in stage.items() if has_effect(key, stage)})

near = st.sampled_from([THRESHOLD, math.nextafter(THRESHOLD, 0), math.nextafter(THRESHOLD, 1)])
score = st.sampled_from([0.0, 1.0, 1.0]) | near | st.floats(-1, 1) | st.none()
part = st.one_of(
    st.lists(score, min_size=1, max_size=60),
    st.tuples(score, st.integers(1, 300)).map(lambda told: [told[0]] * told[1]),
    st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 400), st.floats(0, 1)).map(
        lambda told: (np.random.default_rng(told[0]).random(told[1]) < told[2]).astype(float).tolist()
    ),
)
gaps = st.sampled_from([(1,), (0,), (0, 0, 7), (1, 0, 3), (10**12, 1), (0, 1, 1, 1, 1)])


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    scores = [score for scores in draw(st.lists(part, min_size=1, max_size=5)) for score in scores]
    gap = draw(gaps)
    steps = list(accumulate(gap[at % len(gap)] for at in range(len(scores))))
    return trace_of("t", steps, scores)


@settings(max_examples=300)
@given(trace=traces(), recipe=st.lists(one_stage, min_size=1, max_size=4), budget=st.none() | st.integers(1, 600))
def test_any_trace_goes_as_the_core_would_have_played_it(
    trace: Trace, recipe: list[dict[str, object]], budget: int | None
) -> None:
    expected = by_the_core(stages(*recipe), trace, budget=budget)
    with small():
        assert replay(stages(*recipe), trace, budget) == expected
    assert replay(stages(*recipe), trace, budget) == expected


@settings(max_examples=100, deadline=None)
@given(trace=traces(), recipe=st.lists(one_stage, min_size=1, max_size=3), size=st.integers(1, 200))
def test_a_recording_in_parts_goes_as_the_whole(trace: Trace, recipe: list[dict[str, object]], size: int) -> None:
    first, *more = (taken(trace, np.arange(at, min(at + size, len(trace)))) for at in range(0, len(trace), size))
    expected = replay(stages(*recipe), trace)
    with small():
        assert replay(stages(*recipe), first, more=more) == expected


counted = st.tuples(score, st.integers(1, 9))


@settings(max_examples=150)
@given(rows=st.lists(counted, min_size=1, max_size=200), gap=gaps, recipe=st.lists(one_stage, min_size=1, max_size=3))
def test_rows_that_tell_several_episodes_go_as_so_many_rows(
    rows: list[tuple[float | None, int]], gap: tuple[int, ...], recipe: list[dict[str, object]]
) -> None:
    steps = accumulate(gap[at % len(gap)] for at in range(len(rows)))
    told = zip(steps, rows, strict=True)
    trace = trace_of_rows("t", [Row(step, score, episodes=1 if score is None else n) for step, (score, n) in told])
    expected = by_the_core(stages(*recipe), trace)
    with small():
        assert replay(stages(*recipe), trace) == expected


stage_names = st.sampled_from(["s0", "s0", "s0", "s1", "s2", None])


@settings(max_examples=150)
@given(
    episodes=st.lists(st.tuples(score, stage_names, st.sampled_from([None] * 6 + [1])), min_size=1, max_size=120),
    gap=gaps,
    recipe=st.lists(one_stage, min_size=3, max_size=3),
)
def test_an_aligned_replay_sees_the_rows_of_other_stages_and_visits(
    episodes: list[tuple[float | None, str | None, int | None]], gap: tuple[int, ...], recipe: list[dict[str, object]]
) -> None:
    steps = accumulate(gap[at % len(gap)] for at in range(len(episodes)))
    rows = [Row(step, *episode) for step, episode in zip(steps, episodes, strict=True)]
    trace = trace_of_rows("t", rows)
    expected = by_the_core(stages(*recipe), trace)
    with small():
        assert replay(stages(*recipe), trace) == expected


def test_somebodys_advance_happens_at_its_step() -> None:
    rows = [Row(step, 0.1, advance_to="s1" if step == 700 else None) for step in range(2000)]
    timeline = replay(stages({}, {}), trace_of_rows("t", rows))
    assert [(t.step, t.reason) for t in timeline.transitions] == [(700, "manual")]
    assert timeline.stages[1].episodes == 1299


def test_a_score_that_is_too_large_is_refused_as_the_core_refuses_it() -> None:
    trace = trace_of("t", range(2000), [0.1] * 1000 + [1e200] + [0.1] * 999)
    with pytest.raises(StagectlError, match="too large to average"):
        replay(stages({}, {}), trace)


@pytest.mark.parametrize("smoothing", [0.03, 0.1, 0.7])
def test_a_long_trace_is_the_walk_that_the_core_would_have_made(smoothing: float) -> None:
    for count in (120_000, 4_000):
        for scores in long_traces(count):
            ema, expected = Ema(smoothing), []
            for value in scores.tolist():
                ema.add(value)
                expected.append(ema.value)
            with small() if count < 10_000 else nullcontext():
                assert walked(scores, smoothing) == expected


def long_traces(count: int) -> Iterator[np.ndarray]:
    """Noise, a learner that comes to succeed always, one that does from a step on, and one that seldom succeeds."""
    rng = np.random.default_rng(3)
    yield rng.random(count)
    yield (rng.random(count) < np.linspace(0, 1.2, count)).astype(float)
    yield np.concatenate([rng.random(count // 2), np.ones(count // 2)])
    yield (rng.random(count) < 1e-3).astype(float)


def walked(scores: np.ndarray, smoothing: float) -> list[float]:
    ema, found = Ema(smoothing), []
    while len(found) < len(scores):
        some = averages.averages(ema, scores[len(found) :])
        found += some.at(np.arange(len(some))).tolist()
        mean, weight = some.state(len(some))
        ema.load_state_dict({"mean": mean, "weight": weight, "count": len(found)})
    return found


@given(st.lists(st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=7), min_size=1, max_size=20))
def test_the_mean_of_a_boundary_is_rounded_once(boundaries: list[list[float]]) -> None:
    steps = [at for at, values in enumerate(boundaries) for _ in values]
    found = boundaries_of(trace_of("t", steps, [v for values in boundaries for v in values]), 0, len(steps))
    for mean, values in zip(found.means.tolist(), boundaries, strict=True):
        ema = Ema(1.0)
        ema.add_together(values)
        assert mean == ema.value


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, None),
        ({"advance_when": "mean(score, last=9) >= 0.5"}, "stage 's0' has advance_when"),
        ({"ema": "zero_start"}, "stage 's0' has ema: zero_start"),
    ],
)
def test_what_cannot_be_passed_over_is_said(settings: dict[str, object], reason: str | None) -> None:
    assert kernel.why_not(stages(settings, {})) == reason


def test_a_class_that_decides_itself_is_asked_at_every_boundary() -> None:
    class Own(StagedProgressiveCurriculum):
        def _should_transition_to_next_stage(self) -> bool:
            return self.total_steps == 1234

    timeline = replay(Own(["a", "b"], min_episodes=1), trace_of("t", range(2000), [0.0] * 2000))
    assert [t.step for t in timeline.transitions] == [1234]


@pytest.mark.parametrize("asked", [0, 3, 1501, 2222, 10**9])
def test_a_boundary_that_is_asked_for_is_seen_with_all_that_came_before(asked: int) -> None:
    trace = trace_of("t", range(2, 3002, 2), [0.5] * 1500)
    seen: list[tuple[int, int]] = []
    curriculum = stages({}, {})
    replay(curriculum, trace, before=lambda step: seen.append((step, curriculum.total_episodes)), see=asked)
    played = [step for step in trace.steps.tolist() if step <= asked]
    assert not played or (played[-1], len(played) - 1) in seen
