"""One frame of a run."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from stagectl.runs import Liveness, RunStatus
from stagectl.view import run_panel, run_text
from stagectl.view.plain import PlainLines
from tests.view.story import ALIVE, GONE, NODE, START, Story, on_cluster

WAYS = [
    {"name": "warm_up", "curriculum": "a/b", "transition_criteria": "time", "time_threshold_steps": 20_000},
    {"name": "seq", "curriculum": "c", "max_steps": 90_000, "on_timeout": "stop"},
    "rest",
]
STORIES = {
    "nothing yet": lambda: Story(),
    "begun": lambda: Story().begin(),
    "in the middle": lambda: Story().begin().learn(46),
    "completed": lambda: Story(seed=1).begin().learn(400).end(),
    "failed": lambda: Story().begin().learn(30).end("failed", "ValueError: " + "the spaces differ " * 30),
    "every kind of stage": lambda: Story(WAYS, 120_000).begin().learn(44, speed=60),
    "no budget": lambda: Story(total=None).begin().learn(10),
    "returns": lambda: Story(["a", "b"], score="return", performance_threshold=250).begin().rollout([-900.0, 31.5]),
    "long names": lambda: Story([f"{'长' * 40}{i}" for i in range(30)], run="r" * 40).begin().learn(30),
    "a class of one's own": lambda: Story(target="my_module.CustomStagedCurriculum").begin().learn(20),
}


def frame(story: Story, width: int = 80, height: int | None = None, later: float = 1, alive: object = ALIVE) -> str:
    return run_panel(story.status, alive, width, story.now + later, height).plain  # type: ignore[arg-type]


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
@pytest.mark.parametrize("width", [20, 60, 61, 80, 133])
def test_no_line_is_wider_than_the_terminal(story: object, width: int) -> None:
    told = story()  # type: ignore[operator]
    assert max(map(cell_len, frame(told, width).split("\n"))) <= width


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
@pytest.mark.parametrize("height", [5, 12, 16, 20, 40])
def test_no_frame_is_higher_than_the_terminal(story: object, height: int) -> None:
    told = story()  # type: ignore[operator]
    assert frame(told, 60, height).count("\n") < height


def test_a_run_without_any_event_has_a_frame() -> None:
    assert "starting" in run_panel(RunStatus("new"), ALIVE, 60, START).plain
    assert "starting" in run_text(RunStatus("new"), ALIVE, START)


def test_the_current_stage_is_marked_and_those_before_it_are_ticked() -> None:
    rows = [line for line in frame(Story().begin().learn(46)).split("\n") if " of 0.80 " in line]
    assert [row.split()[0] for row in rows[:4]] == ["✓", "✓", "▶", "·"]


def test_what_the_stage_waits_for_is_told_term_by_term() -> None:
    story = Story().begin().rollout([0.0, 1.0, 0.0, 1.0])
    shown = frame(story)
    assert "performance 0.50 of 0.80" in shown
    assert "episodes 4 of 10" in shown
    assert "episodes 4 of 10 ok" not in shown
    assert "episodes 12 of 10 ok" in frame(story.rollout([0.0] * 8))


def test_no_data_is_spelled_out() -> None:
    assert "no data" in frame(Story().begin())


def test_a_stage_that_is_ordered_but_not_trained_in_yet_says_so() -> None:
    story = Story().begin()
    while not story.status.transitions:
        story.rollout([1.0] * 8)
    assert "doorkey_6: ordered, not yet applied" in frame(story)
    assert "ordered, not yet applied" not in frame(story.rollout([0.0]))


def test_a_class_of_ones_own_is_named_as_the_one_who_decides() -> None:
    assert "decided by my_module.Custom" in frame(Story(target="my_module.Custom").begin().learn(3))


def test_the_way_out_of_a_stage_is_shown_with_what_happens_then() -> None:
    stages = [{"name": "a", "curriculum": "x", "max_steps": 90_000, "on_timeout": "stop"}, "b"]
    assert "2,048 of 90,000 steps, then the run stops" in frame(Story(stages).begin().rollout([0.0]))


def test_an_estimate_beyond_the_budget_is_told_as_such() -> None:
    stages = [{"name": "a", "curriculum": "x", "transition_criteria": "time", "time_threshold_steps": 10**6}, "b"]
    assert "the budget ends before" in frame(Story(stages).begin().learn(5), 120)


def test_a_silent_run_tells_how_old_its_last_event_is() -> None:
    story = Story().begin().learn(5)
    assert "last event" not in frame(story, later=3)
    assert "42 s ago" in frame(story, later=42.01)


def test_a_return_where_a_success_is_expected_is_told_with_what_to_do() -> None:
    story = Story(["walk", "run"], min_episodes=1).begin().rollout([12.5])
    assert "score        12.5 in walk is not from 0 to 1; a return? `score: return`\n" in frame(story)
    assert "12.5 in walk (and in 1 more stage) is not from 0 to 1" in frame(story.rollout([3.0]))


def test_a_metric_that_a_criterion_names_and_nobody_logs_is_told_with_the_one_that_may_be_meant() -> None:
    story = Story(["walk", {"curriculum": "run", "advance_when": 'metric("train/los") < 0.1'}, "rest"]).begin()
    for _ in range(19):
        story.rollout([0.0]).tell("metrics", metrics={"train/loss": 0.5})
    assert "which a criterion names" not in frame(story)
    story.tell("metrics", metrics={"train/loss": 0.5})
    told = "metric       train/los, which a criterion names, is in none of 20 reports; did you mean 'train/loss'?"
    assert told in frame(story, 120)


def test_a_failed_run_tells_why_and_its_clock_stands_still() -> None:
    story = Story().begin().learn(30).end("failed", "ValueError: the spaces differ")
    shown = frame(story, later=9_000, alive=GONE)
    assert "✗ failed" in shown
    assert "ValueError: the spaces differ" in shown
    assert "2 h ago" in shown
    assert frame(story, later=0).split("\n")[1] == shown.split("\n")[1]


def test_a_crashed_run_is_told_as_crashed() -> None:
    assert "✗ crashed" in frame(Story().begin().learn(30), alive=GONE)


def test_a_run_that_ended_within_a_stage_marks_it_as_neither_done_nor_current() -> None:
    shown = frame(Story().begin().learn(46).end("budget_spent"))
    assert "■ budget spent" in shown
    assert "■ 3 doorkey_8" in shown


def test_scores_that_come_late_do_not_take_back_a_stages_tick() -> None:
    story = Story().begin()
    while not story.status.transitions:
        story.rollout([1.0] * 8)
    story.step += 1_000
    story.tell("episodes", scores=[], episodes=[99, 0, 0, 0], performance=[0.3, None, None, None])
    row = next(line for line in frame(story).split("\n") if "1 empty" in line)
    assert "1.00 of 0.80" in row


def test_the_bar_does_not_touch_the_threshold_before_the_performance_does() -> None:
    stages = ["a", "b"]
    story = Story(stages).begin()
    story.step += 1_000
    story.tell("episodes", scores=[], episodes=[50, 0], performance=[0.7999, None])
    assert "╂" in frame(story, 60)
    assert "╋" not in frame(story, 60)
    story.tell("episodes", scores=[], episodes=[51, 0], performance=[0.8, None])
    assert "╋" in frame(story, 60)


def test_among_many_stages_a_low_terminal_shows_those_around_the_current_one() -> None:
    story = Story([f"stage_{i}" for i in range(40)]).begin()
    while story.status.current < 20:
        story.rollout([1.0] * 10)
    shown = frame(story, 60, 20)
    assert "21 stage_20" in shown
    assert "more stages" in shown


def test_what_a_run_says_cannot_move_the_cursor_or_colour_the_picture() -> None:
    story = Story([{"name": "\x1b[2J[red]evil", "curriculum": "x"}, "b"], run="r\x1b]0;x\x07un").begin()
    story.learn(3).end("failed", "\x1b[31mboom\x07\nsecond line")
    for shown in (frame(story), run_text(story.status, GONE, story.now)):
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "[red]evil" in shown
        assert "boom second line" in shown


def test_plain_text_is_complete_and_has_no_picture() -> None:
    story = Story(["名" * 60, "b"]).begin().learn(46)
    text = run_text(story.status, ALIVE, story.now)
    assert "名" * 60 in text
    assert "…" not in text
    assert "waiting for" in text
    assert text.splitlines()[0] == "run          doorkey-20261125-k7mq"


def test_the_last_evaluation_of_each_stage_is_seen_without_wandb() -> None:
    story = Story().begin().learn(8)
    story.tell("metrics", metrics={"eval/empty/success_rate": 0.25, "eval/empty/return": 0.2, "eval/far/return": 7.0})
    story.tell("metrics", metrics={"eval/empty/success_rate": 0.75, "eval/empty/return": 0.6, "loss": 1.0})
    text = run_text(story.status, ALIVE, story.now)
    assert "evaluation   empty success rate 0.75 at 16.4k; far return 7.00 at 16.4k" in text
    assert "evaluation   empty success rate 0.75" in run_panel(story.status, ALIVE, 80, story.now).plain


def test_an_evaluation_is_a_plain_line_of_its_own() -> None:
    story = Story().begin().learn(8).tell("metrics", metrics={"eval/empty/success_rate": 0.25})
    line = PlainLines().line(story.events[-1], story.status)
    assert line is not None
    assert line.endswith("evaluation        empty/success_rate 0.25")


# ── on a cluster ────────────────────────────────────────────────────────────────────────────────────────────

CLUSTERS = {
    "followed": on_cluster(),
    "unfollowed": on_cluster(followed=False),
    "recovering": on_cluster("RECOVERING"),
    "of a newer SkyPilot": on_cluster("HIBERNATING" * 9),
    "nothing known": on_cluster("", machines=[]),
    "expensive": on_cluster(machines=[{**NODE, "hourly": 1e9}]),
}


@pytest.mark.parametrize("alive", CLUSTERS.values(), ids=CLUSTERS)
@pytest.mark.parametrize("width", [20, 60, 72, 80, 133])
def test_no_line_of_a_run_on_a_cluster_is_wider_than_the_terminal(alive: Liveness, width: int) -> None:
    for story in (Story(), Story().begin().learn(46), STORIES["long names"]()):
        assert max(map(cell_len, frame(story, width, alive=alive).split("\n"))) <= width


@pytest.mark.parametrize("height", [5, 12, 20])
def test_no_frame_of_a_run_on_a_cluster_is_higher_than_the_terminal(height: int) -> None:
    assert frame(Story().begin().learn(46), 60, height, alive=on_cluster(followed=False)).count("\n") < height


def test_a_run_on_a_cluster_shows_where_it_is_and_how_old_skypilots_word_is() -> None:
    story = Story().begin().learn(46)
    told = run_text(story.status, on_cluster(), START + 70)
    assert "cluster      aws; doorkey-20261125-k7mq-a1b2; us-east-1; job 3; SkyPilot said RUNNING 1 min ago" in told
    assert "SkyPilot said RUNNING" in frame(story, alive=on_cluster())


def test_what_is_said_of_the_state_is_not_said_twice() -> None:
    shown = frame(Story().begin().learn(46), alive=on_cluster("RECOVERING"))
    assert "● recovering" in shown
    assert shown.count("SkyPilot said") == 1


def test_a_run_that_costs_shows_its_price_and_what_was_spent_in_each_stage() -> None:
    story = Story().begin().learn(46)
    shown = frame(story, alive=on_cluster(), later=0)
    assert "$24.80 an hour · ≈ $0.42 spent" in shown
    rows = {line.split()[2]: line.split()[-1] for line in shown.split("\n") if "of 0.80  " in line}
    assert rows == {"empty": "$0.19", "doorkey_6": "$0.18", "doorkey_8": "$0.04", "doorkey_16": "—"}
    plain = run_text(story.status, on_cluster(), story.now)
    assert [line.split()[-1] for line in plain.split("\n") if line[1:3] == "/4"] == [*rows.values()]


def test_a_run_that_is_over_shows_what_it_cost_and_no_price() -> None:
    shown = frame(Story(seed=1).begin().learn(400).end(), alive=on_cluster("SUCCEEDED"), later=9_000)
    assert " spent\n" in shown
    assert "an hour" not in shown
    assert "SkyPilot said" not in shown


@pytest.mark.parametrize("hourly", [0, None])
def test_a_run_that_is_free_or_has_no_known_price_shows_no_money(hourly: float | None) -> None:
    alive = on_cluster(machines=[{**NODE, "hourly": hourly}])
    story = Story().begin().learn(46)
    for shown in (frame(story, alive=alive), run_text(story.status, alive, story.now)):
        assert "$" not in shown
        assert "spent" not in shown.lower()


def test_a_managed_run_whose_machine_is_not_known_yet_says_who_manages_it() -> None:
    alive = on_cluster("PENDING", machines=[], place={"name": "r", "cluster": None})
    assert "cluster      managed by SkyPilot" in run_text(Story().status, alive, START + 5)
