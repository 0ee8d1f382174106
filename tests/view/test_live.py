"""Following a run: the picture in a terminal that pyte plays, and plain lines."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pyte
import pytest
from rich.console import Console

from stagectl.runs import Liveness, RunPaths, RunStatus, StatusReader
from stagectl.view import watch
from stagectl.view.live import POLL_SECONDS
from tests.view.story import ALIVE, GONE, Story, on_cluster

Act = Callable[[], object]


class Terminal(io.StringIO):
    """A terminal of a size that can change, and a count of what was written to it."""

    def __init__(self, width: int = 60, height: int = 24) -> None:
        super().__init__()
        self.screen = pyte.HistoryScreen(width, height, history=1_000)
        self._stream = pyte.Stream(self.screen)
        self.console = Console(file=self, force_terminal=True, color_system="standard", width=width, height=height)
        self.frames: list[str] = []

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        self.frames.append(text)
        return len(text)

    def resize(self, width: int, height: int) -> None:
        self.screen.resize(height, width)
        self.console.size = (width, height)  # type: ignore[assignment]

    @property
    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.shown).strip("\n")


class World:
    """A clock, and what happens at each look: `acts` one after the other, then the run ends."""

    def __init__(self, story: Story, folder: Path, *acts: Act) -> None:
        self.story, self.paths, self.now = story, story.write(folder), story.now
        self._acts: Iterator[Act] = iter(acts)
        self._told = len(story.events)
        self.slept = 0
        self.asked: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept += 1
        self.now += seconds
        next(self._acts, self._end)()
        with self.paths.events.open("a") as log:
            log.write(self.story.lines(self._told))
        self._told = len(self.story.events)

    def liveness(self, paths: RunPaths) -> Liveness:
        self.asked.append(self.now)
        return ALIVE

    def watch(self, kind: str, console: Console) -> RunStatus:
        return watch(
            self.paths,
            kind,  # type: ignore[arg-type]
            console=console,
            clock=lambda: self.now,
            sleep=self.sleep,
            liveness=self.liveness,
        )

    def _end(self) -> None:
        self.story.end()


def nothing() -> None:
    """A look at which nothing has happened."""


def test_frames_drawn_over_one_another_leave_no_remains(tmp_path: Path) -> None:
    story = Story(run="r").begin()
    terminal = Terminal()
    status = World(story, tmp_path, *[lambda: story.learn(6)] * 20).watch("rich", terminal.console)
    assert status.ended is not None
    assert sum("r " in line and "completed" in line for line in terminal.shown) == 1
    assert sum("transitions" in line for line in terminal.shown) == 1
    assert not any("running" in line for line in terminal.shown)
    assert len(terminal.screen.history.top) == 0


@pytest.mark.parametrize(("width", "height"), [(60, 12), (60, 24), (100, 30)])
def test_the_picture_stays_within_the_terminal_until_the_end(tmp_path: Path, width: int, height: int) -> None:
    story = Story([f"stage_{i}" for i in range(20)]).begin()
    terminal, seen = Terminal(width, height), []

    def look() -> None:
        story.rollout([1.0] * 10)
        seen.append(terminal.text)

    World(story, tmp_path, *[look] * 6).watch("rich", terminal.console)
    assert all(text.startswith(" doorkey-20261125-k7mq") for text in seen)
    assert all(text.count("● running") == 1 for text in seen)


@pytest.mark.parametrize("size", [(60, 24), (60, 14), (140, 40), (100, 10)])
def test_a_resize_draws_the_picture_anew(tmp_path: Path, size: tuple[int, int]) -> None:
    story, terminal, after = Story().begin().learn(20), Terminal(100, 24), []
    acts: list[Act] = [nothing, lambda: terminal.resize(*size), lambda: after.append(terminal.text)]
    World(story, tmp_path, *acts).watch("rich", terminal.console)
    assert after[0].count("doorkey-20261125-k7mq") == 1
    assert after[0].count("● running") == 1
    assert max(map(len, after[0].split("\n"))) <= size[0]


def test_nothing_is_drawn_while_nothing_changes(tmp_path: Path) -> None:
    story, terminal, counts = Story().begin().learn(5), Terminal(), []
    story.now = float(int(story.now))
    acts: list[Act] = [lambda: counts.append(len(terminal.frames))] * 9
    World(story, tmp_path, *acts).watch("rich", terminal.console)
    draws = [later - earlier for earlier, later in itertools.pairwise(counts)]
    assert [draw > 0 for draw in draws] == [False, False, False, True, False, False, False, True]


def test_every_frame_is_shown_at_once(tmp_path: Path) -> None:
    terminal = Terminal()
    World(Story().begin(), tmp_path, nothing).watch("rich", terminal.console)
    written = "".join(terminal.frames)
    assert written.count("\x1b[?2026h") == written.count("\x1b[?2026l") >= 2


def test_the_last_picture_is_whole_and_stays_and_the_cursor_is_below_it(tmp_path: Path) -> None:
    story = Story([f"stage_{i}" for i in range(20)]).begin()
    terminal = Terminal(60, 12)
    World(story, tmp_path, lambda: story.learn(60)).watch("rich", terminal.console)
    top = ["".join(line[x].data for x in range(60)).rstrip() for line in terminal.screen.history.top]
    shown = "\n".join([*top, *terminal.shown])
    assert all(f"{i + 1} stage_{i}" in shown for i in range(20))
    assert not terminal.screen.cursor.hidden
    assert terminal.shown[terminal.screen.cursor.y] == ""


def test_an_interrupt_is_the_callers_and_the_picture_stays(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    terminal = Terminal()
    with pytest.raises(KeyboardInterrupt):
        World(Story().begin().learn(5), tmp_path, nothing, interrupt).watch("rich", terminal.console)
    assert "● running" in terminal.text
    assert not terminal.screen.cursor.hidden


def test_the_processes_are_asked_at_most_once_a_second(tmp_path: Path) -> None:
    world = World(Story().begin(), tmp_path, *[nothing] * 40)
    world.watch("quiet", Console(file=io.StringIO()))
    assert world.slept == 41
    assert min(b - a for a, b in zip(world.asked, world.asked[1:], strict=False)) >= 1.0
    assert len(world.asked) >= 41 * POLL_SECONDS - 1


def test_a_run_whose_processes_are_gone_ends_the_watch(tmp_path: Path) -> None:
    world, out = World(Story().begin().learn(3), tmp_path), io.StringIO()
    world.liveness = lambda paths: GONE  # type: ignore[method-assign]
    assert world.watch("plain", Console(file=out)).ended is None
    assert world.slept == 0


def test_plain_lines_end_with_what_became_of_a_run_whose_processes_are_gone(tmp_path: Path) -> None:
    world, out = World(Story().begin().learn(3), tmp_path), io.StringIO()
    world.liveness = lambda paths: GONE  # type: ignore[method-assign]
    world.watch("plain", Console(file=out))
    assert out.getvalue().splitlines()[-1].startswith("crashed: its processes are gone and it has no recorded end; ")


def test_a_run_whose_follower_dies_is_told_so_and_watched_on(tmp_path: Path) -> None:
    story = Story().begin().learn(3)
    world, out = World(story, tmp_path, *[lambda: story.rollout([0.0])] * 60), io.StringIO()
    world.liveness = lambda paths: on_cluster(followed=not 4 < world.slept < 20)  # type: ignore[method-assign]
    story.now += 60
    world.now = story.now
    status = world.watch("plain", Console(file=out))
    assert status.ended is not None
    told = [line for line in out.getvalue().splitlines() if line.startswith("unfollowed")]
    assert len(told) == 1
    assert "SkyPilot said RUNNING 1 min ago; `stagectl status doorkey-20261125-k7mq` catches up" in told[0]


def test_the_picture_of_a_run_whose_follower_dies_says_so(tmp_path: Path) -> None:
    story, terminal, seen = Story().begin().learn(3), Terminal(80), []
    story.now += 60
    world = World(story, tmp_path, *[lambda: seen.append(terminal.text)] * 12)
    world.liveness = lambda paths: on_cluster(followed=world.slept < 4)  # type: ignore[method-assign]
    world.watch("rich", terminal.console)
    assert "● running" in seen[0]
    assert "● unfollowed" in seen[-1]
    assert "catches up" in seen[-1]


def test_an_end_that_was_written_just_before_the_processes_went_is_seen(tmp_path: Path) -> None:
    story = Story().begin()
    world = World(story, tmp_path, *[nothing] * 8)

    def dying(paths: RunPaths) -> Liveness:
        if world.slept < 4:
            return ALIVE
        story.end("stopped")
        with paths.events.open("a") as log:
            log.write(story.lines(len(story.events) - 1))
        return GONE

    world.liveness = dying  # type: ignore[method-assign]
    status = world.watch("quiet", Console(file=io.StringIO()))
    assert status.ended is not None
    assert status.ended["outcome"] == "stopped"


def lines_of(story: Story, folder: Path, *acts: Act) -> list[str]:
    out = io.StringIO()
    World(story, folder, *acts).watch("plain", Console(file=out, width=40))
    return out.getvalue().split("\n")[:-1]


def test_plain_lines_tell_each_event_once_whole_and_with_its_time(tmp_path: Path) -> None:
    story = Story(["a" * 100, "b"]).begin()
    acts: list[Act] = [lambda: story.rollout([1.0] * 10)] * 3
    acts.append(lambda: story.tell("checkpoint", path="checkpoints/step-000000002048", stage="b"))
    acts.append(lambda: story.tell("score_refused", message="the score is nan"))
    acts.append(lambda: story.tell("request_answered", request="stop"))
    lines = lines_of(story, tmp_path, *acts)
    kinds = [line.split()[2] for line in lines]
    assert kinds == [
        "run_created",
        "attempt_started",
        "ready",
        "stage_started",
        "progress",
        "stage_transition",
        "stage_started",
        "checkpoint",
        "score_refused",
        "request_answered",
        "run_ended",
    ]
    assert all(line[4] == line[7] == "-" and line[13] == line[16] == ":" for line in lines)
    assert f"1/2 {'a' * 100} → 2/2 b at step 2,048, performance 1.00, reason performance" in lines[5]


def test_progress_is_told_at_most_once_in_ten_seconds_of_the_run(tmp_path: Path) -> None:
    story = Story(rate=1_024).begin()
    acts: list[Act] = [lambda: story.rollout([0.0])] * 50
    lines = [line for line in lines_of(story, tmp_path, *acts) if " progress " in line]
    assert len(lines) == 10


def test_of_progress_made_before_the_watch_only_the_last_is_told(tmp_path: Path) -> None:
    lines = lines_of(Story(seed=2).begin().learn(60), tmp_path)
    progress = [line for line in lines if " progress " in line]
    assert len(progress) == 1
    assert "step 122,880 of 400,000 (30 %)" in progress[0]


def test_scores_that_are_no_successes_are_told_once_a_stage_also_in_a_pipe(tmp_path: Path) -> None:
    story = Story(["a", "b"]).begin()
    lines = lines_of(story, tmp_path, *[lambda: story.rollout([12.5])] * 5)
    told = [line.split("score", 1)[1].strip() for line in lines if line.split()[2] == "score"]
    assert told[0] == "12.5 in a is not from 0 to 1; a return? `score: return`"
    assert len(told) <= 2


def test_a_metric_that_nobody_logs_is_told_of_once(tmp_path: Path) -> None:
    story = Story([{"curriculum": "a", "advance_when": 'metric("los") < 0.1'}, "b"]).begin()
    acts: list[Act] = [lambda: story.rollout([0.0]).tell("metrics", metrics={"loss": 0.5})] * 50
    told = [line for line in lines_of(story, tmp_path, *acts) if line.split()[2] == "metric"]
    assert [line.partition("los,")[2] for line in told] == [
        " which a criterion names, is in none of 20 reports; did you mean 'loss'?"
    ]


def test_scores_that_are_no_successes_take_no_other_events_line(tmp_path: Path) -> None:
    story = Story(["a", "b"], min_episodes=1).begin().rollout([12.5])
    kinds = [line.split()[2] for line in lines_of(story, tmp_path)]
    assert kinds[-4:] == ["score", "stage_transition", "progress", "run_ended"]


def test_of_a_flood_of_refused_scores_fewer_and_fewer_are_told(tmp_path: Path) -> None:
    story = Story().begin()
    lines = lines_of(story, tmp_path, *[lambda: story.tell("score_refused", message="the score is nan")] * 300)
    assert sum(" score_refused " in line for line in lines) == 9 + 9 + 3  # 1, 2, …; 10, 20, …; 100, 200, 300


def test_of_a_long_log_what_a_snapshot_holds_is_told_by_what_came_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stagectl.view.live.SNAPSHOT_BYTES", 0)
    story = Story(["a", "b"]).begin()
    story.rollout([1.0] * 10).tell("checkpoint", path="checkpoints/step-000000002048", stage="b")
    for ended in (False, True):
        if ended:
            story.end("failed", "boom")
        StatusReader(story.write(tmp_path)).keep(1_000_000, after=1)
        lines = lines_of(story, tmp_path)
        told = ["stage_transition", "checkpoint", "progress", "run_ended"]
        assert [line.split()[2] for line in lines] == told
        assert "1/2 a → 2/2 b at step 2,048" in lines[0]
    assert "failed at step 2,048" in lines[-1]
    assert "boom" in lines[-1]


def test_of_a_run_that_has_ended_every_event_is_told(tmp_path: Path) -> None:
    story = Story(["a", "b"]).begin().end("failed", "boom")
    StatusReader(story.write(tmp_path)).keep(1_000_000, after=1)
    kinds = [line.split()[2] for line in lines_of(story, tmp_path)]
    assert kinds == ["run_created", "attempt_started", "ready", "run_ended"]


def test_a_multi_line_message_is_one_line(tmp_path: Path) -> None:
    story = Story().begin()
    lines = lines_of(story, tmp_path, lambda: story.end("failed", "boom\n\x1b[31mtwice"))
    assert lines[-1].endswith("failed at step 0 after 4s: boom twice")


def test_quiet_says_nothing(tmp_path: Path) -> None:
    out = io.StringIO()
    World(Story().begin().learn(5), tmp_path).watch("quiet", Console(file=out))
    assert out.getvalue() == ""
