"""What users of other curricula suffer from (CURRICULA.md, section 8), one by one, and what the core answers.

1. It passed the threshold and nothing happened: ml-agents#167 #469 #713 #240 #895 #4465 #1270 #1836.
2. Position lost or wrong on resume: ml-agents#177 #223 #349 #2070 #3325 #2993 #972; catalyst#622; nanotron#144 #233;
   mjlab#484; jiminy#878; metta#2666 #2702; video_to_data#49.
3. The reported stage is not the one in effect: ml-agents#6292 #217 #1041 #3088 #3132; ray#3990 #53248; mjlab#1094.
4. Premature, lucky or absurd transitions: ml-agents#5485 #1028 #895; conformer-rl#63; safelife#9; mjlab#1094; alf#768;
   strands-labs/robots#1245.
5. Only reward and steps, one direction, no other metric: ml-agents#4585 #5224 #5623 #5974 #5485 #6171;
   IsaacLab#2245 #3069; unitree_rl_lab#60.
6. Forgetting, and collapse after a transition: ml-agents#1807 #954 #1383; mesozoic-labs#131 #132 #278; alf#1310.
7. Thrash, or no way back: ray#61005 #54966; unitree_rl_lab#60; mesozoic-labs#474 #485.
8. Steps and episodes mean many things, and are asked at odd times: ml-agents#291 #5400 #1141; IsaacLab#3444 #2079.
9. Silent mistakes in the configuration, and gates that stand open: mjlab#791 #882; UniLab#1397; ml-agents#4273 #4279;
   DeepSpeed#8334; mesozoic-labs#484 #485 #132 #59.
10. Cost, and tuning in the dark: ray#41894 #7307 #9178 #10010; metta#3610 #3724 #3837 #4316; mesozoic-labs#268;
    IsaacLab#4714; LeggedLab#42; ml-agents#4464.

What of these is not the core's to answer, and where it is:
- 1: how it is shown, in tests/view. 2: the state is written with the checkpoint, in tests/runs and tests/trainers.
- 3: workers say which stage they applied, and are told again after a restart, in tests/trainers and test_session.py.
- 6: what is reset and warmed up on entry, and evaluation in earlier stages' environments, in tests/trainers.
- 9: keys with their lines, in tests/recipe. 10: replay and sweeps in tests/simulate, the measured cost in
  bench/curriculum.py, values over time in tests/view.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from stagectl.curriculum import CurriculumEnd, StagedProgressiveCurriculum, StageTransition, read_stages
from stagectl.errors import CurriculumError

Curriculum = StagedProgressiveCurriculum


def between_steps(stages: list[Any], **settings: Any) -> Curriculum:
    curriculum = Curriculum(stages, **settings)
    curriculum.decide_between_steps()
    return curriculum


def step(curriculum: Curriculum, by: int, *scores: float) -> Any:
    for score in scores:
        curriculum.get_task().complete(score)
    return curriculum.update_step_count(curriculum.total_steps + by)


# ── 1: it passed the threshold and nothing happened ─────────────────────────────────────────────────────────────


def test_1_it_tells_which_value_is_compared_with_what_and_which_term_blocks() -> None:
    curriculum = between_steps(["a", "b"], min_episodes=20, transition_criteria="both", time_threshold_steps=1000)
    step(curriculum, 400, *[1.0] * 12)
    assert [(str(term), term.holds) for term in curriculum.waiting_for()] == [
        ("performance 1 of 0.8", True),
        ("episodes 12 of 20", False),
        ("steps 400 of 1,000", False),
    ]
    step(curriculum, 400, *[1.0] * 12)
    assert [term.holds for term in curriculum.waiting_for()] == [True, True, False]


def test_1_when_every_term_of_a_conjunction_is_told_to_hold_the_stage_is_left_at_that_very_step() -> None:
    curriculum = between_steps(["a", "b"], advance_when="performance >= 0.8 and not steps < 300")
    while curriculum.current_stage == 0:
        assert not all(term.holds for term in curriculum.waiting_for())
        decision = step(curriculum, 50, 0.9)
    assert (decision.step, decision.performance) == (500, pytest.approx(0.9))


def test_1_the_value_that_decides_is_the_one_that_is_shown_and_recorded() -> None:
    curriculum = between_steps(["a", "b"], min_episodes=1)
    for score in (0.2, 0.9, 0.4, 1.0, 1.0, 1.0):
        assert step(curriculum, 10, score) is None
        assert curriculum.waiting_for()[0].value == curriculum.performance()[0]
    decision = step(curriculum, 10, *[1.0] * 20)
    assert decision.performance == curriculum.performance()[0]


# ── 2: position lost or wrong on resume ─────────────────────────────────────────────────────────────────────────


def test_2_everything_that_decides_is_in_the_state_and_the_first_task_after_it_is_of_the_right_stage() -> None:
    recipe: dict[str, Any] = {
        "stages": ["a", {"curriculum": "b", "advance_when": "sustained(mean(score, last=5) >= 0.5, for=100)"}, "c"]
    }
    whole = between_steps(**recipe)
    for _ in range(10):
        step(whole, 30, 1.0)
    assert whole.stage.name == "b"
    step(whole, 60, *[1.0] * 5)
    resumed = between_steps(**recipe)
    resumed.load_state_dict(json.loads(json.dumps(whole.state_dict())))
    assert resumed.get_task().stage.name == "b"
    assert resumed.waiting_for() == whole.waiting_for()
    assert [step(resumed, 50), step(resumed, 50)] == [step(whole, 50), step(whole, 50)] != [None, None]


def test_2_a_stage_is_known_by_its_name_and_a_changed_recipe_is_refused_with_what_changed() -> None:
    state = Curriculum(["easy", "hard"], start="hard").state_dict()
    with pytest.raises(CurriculumError, match="stages: stage 'new' is new"):
        Curriculum(["easy", "new", "hard"]).load_state_dict(state)
    with pytest.raises(CurriculumError, match=r"stages\.easy\.performance_threshold: .*had 0\.8 and has 0\.5"):
        Curriculum([{"curriculum": "easy", "performance_threshold": 0.5}, "hard"]).load_state_dict(state)


# ── 3: reported stage is not the one in effect ──────────────────────────────────────────────────────────────────


def test_3_the_stage_that_was_decided_and_the_one_that_is_played_are_two_numbers() -> None:
    curriculum = between_steps(["a", "b"], min_episodes=1, env_overrides={"size": 6})
    assert curriculum.get_task().env_cfg() == {"size": 6}  # the first task has the first stage's settings already
    step(curriculum, 10, 1.0)
    assert (curriculum.current_stage, curriculum.applied_stage) == (1, None)
    curriculum.get_task()
    assert (curriculum.current_stage, curriculum.applied_stage) == (1, 1)


# ── 4: premature, lucky or absurd transitions ───────────────────────────────────────────────────────────────────


def test_4_a_mean_return_of_minus_one_does_not_pass_a_threshold_of_minus_three_quarters() -> None:
    """ml-agents#5485: an average that starts at 0 is 0.25·0 + 0.75·(−1) = −0.75 after its first window."""
    curriculum = between_steps(["a", "b"], score="return", performance_threshold=-0.7501, min_episodes=1)
    assert [step(curriculum, 10, -1.0) for _ in range(200)] == [None] * 200
    assert curriculum.performance()[0] == -1.0


def test_4_a_first_lucky_episode_leaves_no_stage() -> None:
    curriculum = between_steps(["a", "b", "c"])
    assert [step(curriculum, 10, 1.0) for _ in range(9)] == [None] * 9


def test_4_old_episodes_that_come_late_do_not_leave_the_next_stage_too() -> None:
    curriculum = between_steps(["a", "b", "c"], min_episodes=1)
    late = [curriculum.get_task() for _ in range(50)]
    step(curriculum, 10, 1.0)
    assert [task.complete(1.0) for task in late] == [None] * 50
    assert step(curriculum, 10) is None
    assert curriculum.stage.name == "b"
    assert curriculum.progress().episodes == 0


def test_4_no_stage_is_passed_over_however_much_has_been_waiting() -> None:
    curriculum = between_steps(["a", "b", "c", "d"], min_episodes=1)
    for name in "abcd":
        curriculum.complete_task(name, 1.0)
    decisions = [curriculum.update_step_count(at) for at in (10, 20, 30)]
    assert [isinstance(decision, StageTransition) for decision in decisions] == [True, False, False]


def test_4_the_short_episodes_that_end_first_do_not_decide_for_all_of_the_step() -> None:
    curriculum = between_steps(["a", "b"], min_episodes=10)
    assert step(curriculum, 10, *[1.0] * 10, *[0.0] * 90) is None


# ── 5: only reward and steps, one direction, no other metric ────────────────────────────────────────────────────


def test_5_any_logged_metric_decides_in_either_direction_and_with_others() -> None:
    criterion = 'metric("Self-play/ELO") > 1250 and metric("episode length") < 40 or total_steps >= 2M'
    curriculum = between_steps(["a", "b"], advance_when=criterion)
    curriculum.record_metrics({"Self-play/ELO": 1300, "episode length": 41})
    assert step(curriculum, 1) is None
    curriculum.record_metrics({"episode length": 39})
    assert isinstance(step(curriculum, 1), StageTransition)


def test_5_a_term_that_is_not_known_is_refused_and_a_metric_that_never_comes_is_told() -> None:
    with pytest.raises(CurriculumError, match=r'unknown term .elo.*a logged metric is metric\("elo"\)'):
        read_stages({"stages": ["a", "b"], "advance_when": "elo > 1250"})
    curriculum = between_steps(["a", "b"], advance_when='metric("elo") > 1250')
    step(curriculum, 10**6, 1.0)
    assert [str(term) for term in curriculum.waiting_for()] == ['metric("elo") no data > 1,250']


# ── 6: forgetting, and collapse after a transition ──────────────────────────────────────────────────────────────


def test_6_a_former_stage_keeps_its_share_and_its_fall_is_seen() -> None:
    curriculum = between_steps(["a", {"curriculum": "b", "rehearse": {"a": 0.1}}], min_episodes=5)
    step(curriculum, 10, *[1.0] * 5)
    names = []
    for _ in range(500):
        task = curriculum.get_task()
        names.append(task.stage.name)
        task.complete(float(task.stage.name == "b"))
    step(curriculum, 10)
    assert names.count("a") == 50
    assert curriculum.performance() == [pytest.approx(0, abs=0.1), 1.0]


def test_6_a_collapse_after_a_transition_leads_back() -> None:
    demote = {"to": "a", "below": 0.2, "patience": 100}
    curriculum = between_steps(["a", {"curriculum": "b", "demote": demote}], min_episodes=5)
    step(curriculum, 10, *[1.0] * 5)
    decisions = [step(curriculum, 20, 0.0, 0.0) for _ in range(10)]
    assert [decision.reason for decision in decisions if decision] == ["demotion"]
    assert curriculum.stage.name == "a"


# ── 7: thrash, or no way back ───────────────────────────────────────────────────────────────────────────────────


def test_7_a_policy_that_needs_a_while_in_each_new_stage_does_not_thrash() -> None:
    """ray#61005: 0 → 1 → 2 → 0 for ever, since the first returns in a new task are always low."""
    recipe = [
        {"curriculum": "0"},
        {"curriculum": "1", "demote": {"to": "0", "below": 0.2, "patience": 500}},
        {"curriculum": "2", "demote": {"to": "0", "below": 0.2, "patience": 500}},
    ]
    curriculum, path, entered = between_steps(recipe), ["0"], 0
    for _ in range(400):
        learnt = curriculum.total_steps - entered >= 300  # at each entry 300 steps of nothing but failures
        decision = step(curriculum, 20, float(learnt), float(learnt))
        if isinstance(decision, StageTransition):
            path.append(decision.to_name)
            entered = decision.step
    assert path == ["0", "1", "2"]


def test_7_noise_around_the_threshold_does_not_send_back_and_a_real_fall_does_once_visits_are_counted() -> None:
    demote = {"to": "0", "margin": 0.3, "patience": 200}
    recipe = [{"curriculum": "0", "max_visits": 2}, {"curriculum": "1", "demote": demote}]
    curriculum = between_steps(recipe, transition_smoothing=0.3)
    step(curriculum, 20, *[1.0] * 5)
    for at in range(100):
        assert step(curriculum, 20, 0.6 + 0.2 * (at % 2)) is None
    fallen = [step(curriculum, 20, 0.0) for _ in range(30)]
    assert [d.reason for d in fallen if d] == ["demotion"]
    step(curriculum, 20, *[1.0] * 5)
    step(curriculum, 20, *[1.0] * 5)
    assert [step(curriculum, 20, 0.0) for _ in range(50)] == [None] * 50  # 0 has had its two visits
    assert curriculum.stage.name == "1"


# ── 8: steps and episodes mean many things, checked oddly ───────────────────────────────────────────────────────


def test_8_steps_in_the_stage_and_in_the_run_have_names_of_their_own_and_are_asked_at_every_step() -> None:
    stages = [
        {"curriculum": "a", "advance_when": "steps >= 100"},
        {"curriculum": "b", "advance_when": "total_steps >= 250 and episodes >= 1"},
        {"curriculum": "c", "advance_when": "total_episodes >= 3 and steps >= 10"},
    ]
    curriculum = between_steps([*stages, "d"])
    decisions = [step(curriculum, 10, *([0.0] if at % 20 == 9 else [])) for at in range(80)]
    assert [(d.to_name, d.step) for d in decisions if d] == [("b", 100), ("c", 300), ("d", 500)]


def test_8_a_leap_of_many_steps_is_judged_where_it_lands() -> None:
    curriculum = between_steps(["a", "b"], transition_criteria="time", time_threshold_steps="100k")
    assert step(curriculum, 99_999) is None
    assert step(curriculum, 2048).step == 102_047


# ── 9: silent mistakes in the configuration, open gates ─────────────────────────────────────────────────────────


def test_9_every_mistake_is_told_at_once_with_its_path_and_the_nearest_name() -> None:
    recipe = {
        "stages": [
            {"curriculum": "a", "performance_treshold": 0.5},
            {"curriculum": "b", "advance_when": "preformance > 0.5"},
            {"curriculum": "c", "demote": {"to": "aa", "below": 0.1, "patience": 5}},
        ],
        "transition_smoothing": 0,
    }
    with pytest.raises(CurriculumError) as raised:
        read_stages(recipe)
    told = {".".join(map(str, fault.path)): fault.message for fault in raised.value.faults}
    assert told["stages.0.performance_treshold"] == "unknown key; did you mean 'performance_threshold'?"
    assert "column 1: unknown term 'preformance'; did you mean 'performance'?" in told["stages.1.advance_when"]
    assert "0 is outside (0, 1]" in told["transition_smoothing"]


def test_9_no_gate_opens_on_nothing() -> None:
    for criterion in ("performance >= 0", "not performance < 0.5", "lower_bound(success, 0.9) >= 0"):
        curriculum = between_steps(["a", "b"], advance_when=criterion)
        assert [step(curriculum, 10**6) for _ in range(3)] == [None] * 3


def test_9_after_the_last_stage_comes_nothing_that_could_be_out_of_range() -> None:
    curriculum = between_steps(["a", {"curriculum": "b", "performance_threshold": 0.5}], min_episodes=1)
    decisions = [step(curriculum, 10, 1.0) for _ in range(5)]
    assert isinstance(decisions[1], CurriculumEnd)
    assert decisions[2:] == [None] * 3
    assert curriculum.get_task().stage.name == "b"


def test_9_a_spent_budget_of_steps_does_what_the_recipe_says_and_fails_where_it_says_nothing() -> None:
    for settings, outcome in (({}, "failed"), ({"on_timeout": "stop"}, "stopped")):
        curriculum = between_steps(["a", "b"], max_steps=100, **settings)
        assert step(curriculum, 100).outcome == outcome


# ── 10: cost, and tuning in the dark ────────────────────────────────────────────────────────────────────────────


def test_10_one_place_decides_and_what_it_keeps_does_not_grow_with_the_run() -> None:
    criterion = (
        "mean(score, last=20) > 2 or plateau(score, over=100k, less_than=0.0001) and lower_bound(score, 0.9) > 2"
    )
    curriculum = between_steps(["a", "b"], advance_when=criterion)
    sizes = []
    for _ in range(2):
        for _ in range(1000):
            step(curriculum, 512, 1.0, 0.0)
        sizes.append(len(json.dumps(curriculum.state_dict())))
    assert sizes[1] < sizes[0] * 1.1


def test_10_a_found_schedule_can_be_written_down_and_followed() -> None:
    """What performance decided is told with its steps; the same steps as `time` give the same stages."""
    found = between_steps(["a", "b", "c"], min_episodes=5)
    moves = [d for d in (step(found, 10, 0.9) for _ in range(30)) if d]
    stages, before = [], 0
    for move in moves:
        stages.append({"curriculum": move.from_name, "time_threshold_steps": move.step - before})
        before = move.step
    followed = between_steps([*stages, "c"], transition_criteria="time")
    again = [d for d in (step(followed, 10) for _ in range(30)) if d]
    assert [(d.step, d.to_name) for d in again] == [(d.step, d.to_name) for d in moves]
    assert len(moves) == 2
