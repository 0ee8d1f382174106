"""The ways out of a stage: short forms, thresholds that move, `next`, demotion, `max_visits`, time-outs, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from stagectl.curriculum import CurriculumEnd, StagedProgressiveCurriculum, StageTransition, read_stages
from stagectl.curriculum.criteria import describe
from stagectl.errors import CurriculumError


class Driven:
    """A curriculum that decides between steps, told scores and steps; keeps the names of the stages it was in."""

    def __init__(self, stages: list[Any], **settings: Any) -> None:
        self.curriculum = StagedProgressiveCurriculum(stages, **{"min_episodes": 1, **settings})
        self.curriculum.decide_between_steps()
        self.path = [self.curriculum.stage.name]
        self.last: Any = None

    def step(self, by: int, *scores: float) -> Any:
        for score in scores:
            self.curriculum.get_task().complete(score)
        self.last = self.curriculum.update_step_count(self.curriculum.total_steps + by)
        if isinstance(self.last, StageTransition):
            self.path.append(self.last.to_name)
        return self.last


# ── short forms ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("criteria", "by_score", "by_steps", "by_both"),
    [
        ("performance", True, False, True),
        ("time", False, True, True),
        ("both", False, False, True),
        ("either", True, True, True),
    ],
)
def test_transition_criteria_are_short_forms(criteria: str, by_score: bool, by_steps: bool, by_both: bool) -> None:
    left = []
    for score, steps in ((1.0, 99), (0.0, 100), (1.0, 100)):
        driven = Driven(["a", "b"], transition_criteria=criteria, time_threshold_steps=100)
        decision = driven.step(steps, score)
        left.append(decision is not None)
        assert decision is None or decision.reason == criteria
    assert left == [by_score, by_steps, by_both]


def test_both_needs_enough_episodes_and_either_does_not() -> None:
    settings = {"time_threshold_steps": 100, "min_episodes": 2}
    both, either = (Driven(["a", "b"], transition_criteria=c, **settings) for c in ("both", "either"))
    assert [both.step(100, 1.0), either.step(99, 1.0)] == [None, None]
    assert both.step(1, 1.0) is not None
    assert either.step(1) is not None


def test_advance_when_may_stand_on_steps_alone_and_then_needs_no_episode() -> None:
    decision = Driven(["a", "b"], advance_when="steps >= 10", min_episodes=50).step(10)
    assert decision == StageTransition(0, 1, "a", "b", 10, None, "advance_when", None)


def test_a_criterion_that_holds_at_entry_is_acted_on_at_the_next_step_though_nothing_came() -> None:
    driven = Driven([{"curriculum": "a", "advance_when": "steps >= 50"}, "b", "c"], advance_when="steps <= 100")
    for by in (50, 10, 10):
        driven.step(by)
    assert driven.path == ["a", "b", "c"]


def test_advance_when_for_all_stages_does_not_end_the_last_one() -> None:
    driven = Driven(["a", "b"], advance_when="steps >= 10")
    assert [bool(driven.step(10)) for _ in range(5)] == [True, False, False, False, False]
    assert driven.curriculum.waiting_for() == ()


def test_the_last_stage_ends_by_an_advance_when_of_its_own() -> None:
    driven = Driven(["a", {"curriculum": "b", "advance_when": "steps >= 20"}], advance_when="steps >= 10")
    assert [driven.step(10), driven.step(10), driven.step(10)][2] == CurriculumEnd(
        "completed", 1, "b", 30, None, "advance_when", None
    )


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ({}, "performance >= 0.8 and episodes >= 10"),
        ({"transition_criteria": "either"}, "performance >= 0.8 and episodes >= 10 or steps >= 100000"),
        ({"performance_threshold": {"from": 0.9, "to": 0.5, "over": "10k"}}, "performance >= 0.9 to 0.5 over 10,000"),
        ({"performance_threshold": {"below_best": 0.1, "over": 99}}, "performance >= its best plateau - 0.1 and"),
        ({"advance_when": 'metric("threshold") > 1'}, 'metric("threshold") > 1'),
        ({"parallel": ["x", "y"], "done": "any", "name": "g"}, "any of x, y done"),
    ],
)
def test_a_criterion_is_told_in_words(stage: dict[str, Any], words: str) -> None:
    entry = stage if "parallel" in stage else {"curriculum": "a", **stage}
    first, last = read_stages({"stages": [entry, "z"]})
    assert describe(first).startswith(words)
    assert describe(last) == "until the step budget is spent"


# ── thresholds that move ────────────────────────────────────────────────────────────────────────────────────────


def test_a_threshold_may_fall_in_a_straight_line_and_the_one_in_force_is_told() -> None:
    threshold = {"from": 0.9, "to": 0.5, "over": "1k"}
    driven = Driven(["a", "b"], performance_threshold=threshold, transition_smoothing=1)
    assert driven.step(0, 0.7) is None
    assert driven.curriculum.performance_threshold == pytest.approx(0.9)
    assert driven.step(499) is None
    decision = driven.step(1)  # nothing came but steps
    assert (decision.step, decision.threshold) == (500, pytest.approx(0.7))


def test_after_its_span_a_threshold_stays_and_the_next_stage_begins_anew() -> None:
    threshold = {"from": 0.9, "to": 0.5, "over": 100}
    driven = Driven(["a", "b", "c"], performance_threshold=threshold, transition_smoothing=1)
    driven.step(10_000, 0.2)
    assert driven.curriculum.performance_threshold == 0.5
    assert driven.step(1, 0.5).threshold == 0.5
    assert driven.curriculum.performance_threshold == 0.9


def test_a_threshold_below_the_best_plateau_is_found_by_the_stage_itself() -> None:
    driven = Driven(["a", "b"], performance_threshold={"below_best": 0.1, "over": 1000}, transition_smoothing=0.5)
    assert [driven.step(50, at / 50) for at in range(31)] == [None] * 31  # by 0.2 from half to half
    flat = [driven.step(50, 0.6) for _ in range(20)]
    (left,) = filter(None, flat)
    assert 4 <= flat.index(left) <= 16
    assert left.threshold == pytest.approx(0.5, abs=0.01)


def test_before_its_plateau_such_a_stage_says_that_the_threshold_is_not_known_yet() -> None:
    driven = Driven(["a", "b"], performance_threshold={"below_best": 0.1, "over": 1000})
    driven.step(10, 1.0)
    assert str(driven.curriculum.waiting_for()[0]) == "performance 1 of no data"
    assert driven.curriculum.performance_threshold != driven.curriculum.performance_threshold


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        ({"from": 0.9, "to": 1.5, "over": 10}, "1.5 is outside the score's range"),
        ({"from": 0.9, "to": 0.5}, "lacks over"),
        ({"from": 0.9, "to": 0.5, "over": 0}, "0 is less than 1"),
        ({"below_best": 0, "over": 10}, "0 is outside"),
        ({"below_best": 0.1}, "lacks over"),
        ({"below_bets": 0.1, "over": 3}, "unknown key"),
    ],
)
def test_a_threshold_that_makes_no_sense_is_refused(threshold: Any, said: str) -> None:
    with pytest.raises(CurriculumError, match=said):
        read_stages({"stages": ["a", "b"], "performance_threshold": threshold})


# ── branching ───────────────────────────────────────────────────────────────────────────────────────────────────

BRANCH = [
    {
        "curriculum": "try",
        "next": [
            {"to": "hard", "when": "performance >= 0.8"},
            {"to": "easy", "when": "performance < 0.3"},
            {"to": "hard", "when": "steps >= 100"},
        ],
    },
    {"curriculum": "easy", "next": [{"to": "try"}], "max_visits": 2},
    "hard",
]


@pytest.mark.parametrize(
    ("score", "by", "path"),
    [(1.0, 10, ["try", "hard"]), (0.0, 10, ["try", "easy"]), (0.5, 10, ["try"]), (0.5, 100, ["try", "hard"])],
)
def test_of_the_ways_out_the_first_that_holds_is_taken(score: float, by: int, path: list[str]) -> None:
    driven = Driven(BRANCH)
    driven.step(by, score)
    assert driven.path == path


def test_of_two_ways_that_hold_the_first_is_taken() -> None:
    driven = Driven(BRANCH)
    assert driven.step(100, 0.0).to_name == "easy"


def test_a_way_without_when_is_taken_by_the_stages_own_criterion() -> None:
    driven = Driven(BRANCH)
    driven.step(10, 0.0)
    assert driven.step(10, 0.5) is None
    assert driven.step(10, *[1.0] * 40).reason == "performance"
    assert driven.path == ["try", "easy", "try"]


def test_a_stage_that_may_be_entered_no_more_is_passed_over() -> None:
    driven = Driven(BRANCH)
    for _ in range(2):
        driven.step(10, 0.0)
        driven.step(10, *[1.0] * 40)
    assert driven.path == ["try", "easy", "try", "easy", "try"]
    assert driven.step(10, 0.0) is None  # easy has had its two visits
    assert driven.step(90).to_name == "hard"


def test_a_way_may_lead_to_the_end_from_anywhere() -> None:
    stages = [{"curriculum": "a", "next": [{"to": "end", "when": "performance >= 0.99"}, {"to": "b"}]}, "b"]
    assert Driven(stages).step(7, 1.0) == CurriculumEnd("completed", 0, "a", 7, 1.0, "next: performance >= 0.99", 0.8)
    assert Driven(stages).step(7, 0.9).to_name == "b"


def test_a_way_may_lead_to_the_stage_itself_which_begins_afresh() -> None:
    stages = [{"curriculum": "a", "next": [{"to": "a", "when": "visits < 3 and steps >= 10"}, {"to": "b"}]}, "b"]
    driven = Driven(stages)
    for _ in range(5):
        driven.step(10, 0.1)
    assert driven.path == ["a", "a", "a"]
    assert driven.curriculum.progress().episodes == 3  # of the third visit alone


def test_each_way_says_what_it_waits_for() -> None:
    told = [str(term) for term in Driven(BRANCH).curriculum.waiting_for()]
    assert told[0] == "hard: performance no data of 0.8"
    assert "easy: performance no data < 0.3" in told
    assert told[-1] == "hard: steps 0 of 100"


# ── demotion ────────────────────────────────────────────────────────────────────────────────────────────────────

LADDER = [
    "zero",
    {"curriculum": "one", "demote": {"to": "zero", "below": 0.2, "patience": 100}},
    {"curriculum": "two", "demote": {"to": "one", "below": 0.2, "patience": 100}},
]


def test_low_performance_sends_back_only_when_it_stays_low() -> None:
    driven = Driven(LADDER, transition_smoothing=1)
    driven.step(10, 1.0)
    assert [driven.step(50, 0.1), driven.step(50, 0.1), driven.step(49, 0.1)] == [None] * 3
    assert driven.step(1, 0.1) == StageTransition(1, 0, "one", "zero", 160, 0.1, "demotion", 0.8)


def test_one_better_moment_begins_the_patience_anew() -> None:
    driven = Driven(LADDER, transition_smoothing=1)
    driven.step(10, 1.0)
    for _ in range(20):
        driven.step(60, 0.1)
        driven.step(30, 0.3)
    assert driven.path == ["zero", "one"]


def test_the_margin_is_below_the_stages_own_best() -> None:
    stages = ["zero", {"curriculum": "one", "demote": {"to": "zero", "margin": 0.3, "patience": 100}}, "two"]
    driven = Driven(stages, transition_smoothing=1)
    driven.step(10, 1.0)
    for score in (0.1, 0.2, 0.6, 0.35, 0.35, 0.35, 0.35, 0.35):  # low, but never 0.3 below the best
        driven.step(60, score)
    assert driven.path == ["zero", "one"]
    driven.step(60, 0.25)
    driven.step(60, 0.25)
    assert driven.step(60, 0.25).reason == "demotion"


def test_a_stage_without_any_episode_is_never_sent_back() -> None:
    driven = Driven(LADDER)
    driven.step(10, 1.0)
    driven.step(10**6)
    driven.step(10**6)
    assert driven.path == ["zero", "one"]


def test_a_last_stage_that_may_send_back_needs_no_criterion_of_its_own() -> None:
    driven = Driven(LADDER, transition_smoothing=1)
    driven.step(10, 1.0)
    driven.step(10, 1.0)
    assert driven.curriculum.waiting_for() == ()
    assert [bool(driven.step(60, 0.0)) for _ in range(3)] == [False, False, True]
    assert driven.path == ["zero", "one", "two", "one"]


def test_a_criterion_that_holds_goes_before_a_demotion_and_a_demotion_before_a_time_out() -> None:
    demote = {"to": "a", "below": 0.9, "patience": 10}
    stages = ["a", {"curriculum": "b", "demote": demote, "max_steps": 100, "on_timeout": "stop"}, "c"]
    first = Driven(stages, transition_smoothing=1)
    first.step(1, 1.0)
    first.step(1, 0.5)
    assert first.step(200, 0.85).reason == "performance"
    second = Driven(stages, transition_smoothing=1)
    second.step(1, 1.0)
    second.step(1, 0.5)
    assert second.step(200, 0.5).reason == "demotion"


def test_max_visits_ends_the_going_back_too() -> None:
    stages = [{"curriculum": "zero", "max_visits": 2}, *LADDER[1:]]
    driven = Driven(stages, transition_smoothing=1)
    for _ in range(20):
        driven.step(60, 1.0 if driven.curriculum.stage.name == "zero" else 0.0)
    assert driven.path == ["zero", "one", "zero", "one"]


# ── time-outs ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("written", [{"goto": "c"}, "goto: c"])
def test_a_time_out_may_lead_anywhere(written: Any) -> None:
    driven = Driven([{"curriculum": "a", "max_steps": 50, "on_timeout": written}, "b", "c"])
    assert driven.step(50) == StageTransition(0, 2, "a", "c", 50, None, "timeout", 0.8)


def test_a_time_out_that_leads_to_where_no_visit_is_left_fails() -> None:
    stages = [
        {"curriculum": "a", "max_visits": 1},
        {"curriculum": "b", "max_steps": 50, "on_timeout": {"goto": "a"}},
    ]
    driven = Driven(stages)
    driven.step(10, 1.0)
    assert driven.step(50) == CurriculumEnd("failed", 1, "b", 60, None, "timeout", None)


def test_a_time_out_counts_the_steps_of_this_visit() -> None:
    stages = ["a", {"curriculum": "b", "max_steps": 50, "on_timeout": {"goto": "a"}}, "c"]
    driven = Driven(stages, transition_smoothing=1)
    for _ in range(2):
        assert driven.step(1000, 1.0).to_name == "b"
        assert driven.step(49) is None
        assert driven.step(1).to_name == "a"


# ── start, and by hand ──────────────────────────────────────────────────────────────────────────────────────────


def test_start_names_the_stage_to_begin_in() -> None:
    driven = Driven(["a", "b", "c"], start="b")
    assert driven.curriculum.get_task().stage.name == "b"
    assert driven.step(1, 1.0).to_name == "c"
    assert driven.curriculum.episodes() == [0, 1, 0]


def test_a_request_is_followed_at_the_next_step_whatever_the_criteria_say() -> None:
    driven = Driven(["a", "b", "c"])
    assert driven.curriculum.request_stage() == "b"
    assert driven.curriculum.stage.name == "a"
    assert driven.step(5, 0.1) == StageTransition(0, 1, "a", "b", 5, 0.1, "manual", 0.8)
    assert driven.curriculum.request_stage("a") == "a"
    assert driven.step(0) is None  # the same step: one decision a step
    assert driven.step(1).to_name == "a"
    assert driven.step(1) is None  # once


@pytest.mark.parametrize("stages", [["a"], LADDER])
def test_a_request_in_the_last_stage_ends_the_curriculum(stages: list[Any]) -> None:
    driven = Driven(stages, start=stages[-1]["curriculum"] if len(stages) > 1 else "a")
    assert driven.curriculum.request_stage() == "end"
    assert (driven.step(5).outcome, driven.last.reason) == ("completed", "manual")
    with pytest.raises(CurriculumError, match="over since step 5"):
        driven.curriculum.request_stage()


def test_a_request_takes_the_first_way_out_and_may_exceed_max_visits() -> None:
    driven = Driven([*BRANCH[:1], {**BRANCH[1], "max_visits": 1}, "hard"])
    assert driven.curriculum.request_stage() == "hard"
    for _ in range(2):
        driven.curriculum.request_stage("easy")
        assert driven.step(1).to_name == "easy"


def test_a_request_for_a_stage_that_is_not_there_is_refused_with_the_nearest() -> None:
    curriculum = StagedProgressiveCurriculum(["navigation", "sequence"])
    with pytest.raises(CurriculumError, match="no stage is named 'sequense'; did you mean 'sequence'"):
        curriculum.request_stage("sequense")
    assert curriculum.update_step_count(1) is None


# ── the graph ───────────────────────────────────────────────────────────────────────────────────────────────────

GRAPHS: list[tuple[dict[str, Any], list[str]]] = [
    ({"stages": ["a", "b"], "start": "aa"}, ["start: no stage is named 'aa'; did you mean 'a'?"]),
    (
        {"stages": [{"curriculum": "navigation", "next": [{"to": "navigatoin", "when": "steps > 1"}]}]},
        ["stages.0.next.0: no stage is named 'navigatoin'; did you mean 'navigation'?"],
    ),
    (
        {"stages": ["a", {"curriculum": "b", "demote": {"to": "c", "below": 0.1, "patience": 1}}]},
        ["stages.1.demote.to: no stage is named 'c'; known: a, b"],
    ),
    (
        {"stages": ["a", {"curriculum": "b", "demote": {"to": "end", "below": 0.1, "patience": 1}}]},
        ["stages.1.demote.to: no stage is named 'end'; known: a, b"],
    ),
    (
        {"stages": [{"curriculum": "a", "max_steps": 9, "on_timeout": {"goto": "z"}}, "b"]},
        ["stages.0.on_timeout: no stage is named 'z'; known: a, b"],
    ),
    (
        {"stages": ["a", {"curriculum": "b", "rehearse": {"c": 0.1}}]},
        ["stages.1.rehearse.c: no other stage is named 'c'; known: a"],
    ),
    (
        {"stages": ["a", {"curriculum": "b", "rehearse": {"b": 0.1}}]},
        ["stages.1.rehearse.b: no other stage is named 'b'; known: a"],
    ),
    (
        {"stages": [{"curriculum": "a", "next": [{"to": "c"}]}, "b", "c"]},
        ["stages.1: stage 'b' is never reached: no way leads to it"],
    ),
    (
        {"stages": [{"curriculum": "a", "next": [{"to": "b"}]}, {"curriculum": "b", "next": [{"to": "a"}]}]},
        [
            "stages.0: stage 'a' is in a loop without a way out; a `max_visits` in it ends the loop",
            "stages.1: stage 'b' is in a loop without a way out; a `max_visits` in it ends the loop",
        ],
    ),
    (
        {"stages": [{"curriculum": "a", "next": [{"to": "a"}]}]},
        ["stages.0: stage 'a' is in a loop without a way out; a `max_visits` in it ends the loop"],
    ),
    (
        {"stages": ["a", {"curriculum": "b", "demote": {"to": "b", "below": 0.1, "patience": 1}}]},
        ["stages.1.demote.to: leads to the stage itself, where it is already; name the stage to go back to"],
    ),
    (
        {"stages": [{"curriculum": "a", "next": [{"to": "b"}, {"to": "end"}]}, "b"]},
        ["stages.0.next.1: is never taken: the way to 'b' before it has the same criterion"],
    ),
    (
        {
            "stages": [
                {"curriculum": "a", "next": [{"to": "b", "when": "steps>=9"}, {"to": "end", "when": "steps >= 9"}]},
                "b",
            ]
        },
        ["stages.0.next.1: is never taken: the way to 'b' before it has the same criterion"],
    ),
    ({"stages": [{"curriculum": "a", "name": "end"}, "b"]}, ["stages.0.name: 'end' is where a way out leads"]),
]


@pytest.mark.parametrize(("recipe", "said"), GRAPHS, ids=[said[0] for _, said in GRAPHS])
def test_a_graph_that_makes_no_sense_is_refused(recipe: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(CurriculumError) as raised:
        read_stages(recipe)
    found = [str(fault) for fault in raised.value.faults]
    assert [text[: len(start)] for text, start in zip(found, said, strict=True)] == said


@pytest.mark.parametrize(
    "recipe",
    [
        {"stages": LADDER},
        {"stages": BRANCH},
        {"stages": [{"curriculum": "a", "next": [{"to": "b"}]}, {"curriculum": "b", "next": [{"to": "end"}]}]},
        {"stages": [{"curriculum": "a", "next": [{"to": "a"}], "max_visits": 3}]},
        {"stages": [{"curriculum": "a", "next": [{"to": "b"}, {"to": "end"}]}, {"curriculum": "b", "max_visits": 1}]},
        {"stages": [{"curriculum": "a", "next": [{"to": "a"}], "max_steps": 3}]},
        {"stages": ["a", "b", "c"], "start": "b"},  # what stands before the start need not be reached
        {"stages": ["a", {"curriculum": "b", "rehearse": {"a": 0.1}}], "start": "b"},
    ],
)
def test_a_graph_that_makes_sense_is_read(recipe: dict[str, Any]) -> None:
    assert read_stages(recipe)


@pytest.mark.parametrize(
    ("stage", "path", "said"),
    [
        ({"next": []}, "next", "is empty"),
        ({"next": {"to": "b"}}, "next", "expected a list"),
        ({"next": [{"when": "steps > 1"}]}, "next", "lacks to; expected {to: NAME"),
        ({"next": [{"to": "b", "wen": "steps > 1"}]}, "next", "wen: unknown key; did you mean 'when'?"),
        ({"next": [{"to": "b"}], "advance_when": "steps > 1"}, "next", "keep|put the criterion into `next`"),
        ({"advance_when": "steps > 1", "transition_criteria": "time"}, "advance_when", "keep one of them"),
        ({"demote": {"to": "b", "patience": 1}}, "demote", "either `below:` or `margin:`"),
        ({"demote": {"to": "b", "patience": 1, "below": 0, "margin": 1}}, "demote", "either `below:` or `margin:`"),
        ({"demote": {"to": "b", "below": 0.1}}, "demote", "patience"),
        ({"demote": {"to": "b", "below": 0.1, "patience": 0}}, "demote", "0 is less than 1"),
        ({"demote": {"to": "b", "margin": 0, "patience": 1}}, "demote", "0 is outside"),
        ({"max_visits": 0}, "max_visits", "0 is less than 1"),
        ({"max_steps": 5, "on_timeout": "goto"}, "on_timeout", "goto needs a stage"),
        ({"max_steps": 5, "on_timeout": {"to": "b"}}, "on_timeout", "unknown key"),
        ({"rehearse": {"b": 0}}, "rehearse", "shares must be above 0"),
        ({"rehearse": {"b": 1}}, "rehearse", "below 1 together"),
        ({"rehearse": ["b"]}, "rehearse", "expected a mapping"),
        ({"score": "return", "advance_when": "lower_bound(score, 0.9) > 0"}, "", "lower_bound is of success rates"),
    ],
)
def test_a_way_out_that_makes_no_sense_is_refused(stage: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(CurriculumError, match=said) as raised:
        read_stages({"stages": [{"curriculum": "a", **stage}, "b"]})
    assert [".".join(map(str, fault.path)) for fault in raised.value.faults] == [f"stages.0.{path}".rstrip(".")]
