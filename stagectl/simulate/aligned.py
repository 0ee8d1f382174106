"""What a simulated run sees in each stage: what was recorded in it, visit by visit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.curriculum.ways import ways_of
from stagectl.simulate.kernel import Part, boundaries
from stagectl.simulate.recording import Visit, episodes_in, visits_of
from stagectl.simulate.story import Story
from stagectl.traces import Row, Trace


class Aligned:
    """The step boundaries of an aligned replay, and what must be known of them.

    Attributes:
        notes: Where it leaves the recording, and what is assumed from there on.
        differs_from: The total steps at which it first does; None: nowhere.
    """

    def __init__(self, curriculum: StagedProgressiveCurriculum, trace: Trace) -> None:
        self.notes: list[str] = []
        self.differs_from: int | None = None
        self._curriculum = curriculum
        self._trace = trace

    def boundaries(
        self, story: Story, budget: int | None, see: int | None = None
    ) -> Iterator[tuple[int, Sequence[Row]]]:
        """Total steps and rows of each boundary to play. Once that adds a decision to the story, a visit is over."""
        curriculum = self._curriculum
        visits = visits_of(self._trace, curriculum)
        counted: Counter[str] = Counter()
        while curriculum.end is None:
            name, entered = curriculum.stage.name, curriculum.total_steps
            counted[name] += 1
            visit = visits.get((name, counted[name]))
            if visit is None:
                return self._note_missing(counted[name])
            if entered != visit.entered:
                self._note_entry(visit, entered)
            decided = len(story.decisions)
            inside = 0
            for inside, rows in self._within(visit, entered, story, budget, see):
                yield entered + inside, rows
                if len(story.decisions) > decided:
                    break
            if len(story.decisions) == decided:
                return self._note_used_up(visit)
            self._note_exit(visit, inside)

    def _within(
        self, visit: Visit, entered: int, story: Story, budget: int | None, see: int | None
    ) -> Iterator[tuple[int, Sequence[Row]]]:
        """Each boundary: steps since the entry, and the rows. The last is where the recording left the stage."""
        part = Part(self._trace, visit.first, visit.last, entered - visit.entered, told=True)
        for step, rows in boundaries(self._curriculum, part, story, budget, see):
            yield step - visit.entered, rows
        if visit.first == visit.last or self._trace.steps[visit.last - 1] < visit.until:
            yield visit.until - visit.entered, []

    def _note_entry(self, visit: Visit, entered: int) -> None:
        if self.differs_from is None:
            self._differs(
                f"stage '{visit.stage}' is entered at step {entered:,}, in the recording at step {visit.entered:,}: "
                "what was recorded in it is assumed to come as it did there"
            )

    def _note_exit(self, visit: Visit, inside: int) -> None:
        spared = visit.until - visit.entered - inside
        if spared > 0:
            trace = self._trace
            after = int(trace.steps[visit.first : visit.last].searchsorted(visit.entered + inside, side="right"))
            episodes = episodes_in(trace, visit.first + after, visit.last)
            self._differs(
                f"stage '{visit.stage}' is left {spared:,} steps earlier than it was recorded ({_left_out(episodes)}): "
                "what follows was recorded after that much more training, and is assumed to come the same"
            )

    def _note_used_up(self, visit: Visit) -> None:
        if can_be_left(self._curriculum):
            self._differs(
                f"stage '{visit.stage}' takes {visit.until - visit.entered:,} steps or more: its criterion does not "
                "hold by then, and no more of it was recorded"
            )

    def _note_missing(self, number: int) -> None:
        if can_be_left(self._curriculum):
            again = "" if number == 1 else " again"
            self._differs(
                f"stage '{self._curriculum.stage.name}' is entered{again} at step {self._curriculum.total_steps:,}, of "
                "which nothing was recorded: how long it takes is not in the data"
            )

    def _differs(self, note: str) -> None:
        self.notes.append(note)
        if self.differs_from is None:
            self.differs_from = self._curriculum.total_steps


def _left_out(episodes: int) -> str:
    return "1 episode is left out" if episodes == 1 else f"{episodes:,} episodes are left out"


def can_be_left(curriculum: StagedProgressiveCurriculum) -> bool:
    """Whether the stage that is on has a way onward, or a limit; else it lasts as long as the step budget."""
    ways = ways_of(curriculum.stages, curriculum.current_stage)
    return curriculum.stage.max_steps is not None or any(way.reason != "demotion" for way in ways)
