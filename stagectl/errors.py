"""The one family of errors, which every room may raise.

    StagectlError
      UsageError            2   the command line cannot be carried out as given
      RecipeError           2   the recipe cannot be read or does not make sense
      CurriculumError       2   a curriculum was built or fed with something that makes no sense
        ScoreError          2   a score that is no finite number
      TraceError            2   a trace cannot be read
      RunNotFoundError      4   no run has that id
      RunExistsError        6   a run already has that id, or somebody holds it
      DamagedRunError       7   a run's files are damaged
      StorageError          8   the disk refused
      JobError              1   the job failed; launch/ has kinds of it: 2 a task that SkyPilot cannot read, 5 no answer

Each says what was wrong, where, and what to do; the number is the command's exit code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar, Literal

Kind = Literal["usage", "recipe", "trace", "not_found", "locked", "damaged", "io", "unreachable", "failed"]
Path = tuple[str | int, ...]


class StagectlError(Exception):
    """What a user can cause or mend. The command line prints it in one line, without a traceback."""

    exit_code: ClassVar[int] = 1
    kind: ClassVar[Kind] = "failed"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(StagectlError):
    exit_code = 2
    kind = "usage"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a recipe, and the path of the value that it is about."""

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


class RecipeError(StagectlError):
    exit_code = 2
    kind = "recipe"


class CurriculumError(StagectlError, ValueError):
    """A curriculum's configuration is wrong. `faults` lists everything that is."""

    exit_code = 2
    kind: ClassVar[Kind] = "recipe"

    def __init__(self, *faults: Fault) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class ScoreError(CurriculumError):
    """A finished episode's score is no finite number, and was not counted."""

    kind = "trace"


class TraceError(StagectlError):
    exit_code = 2
    kind = "trace"


class RunNotFoundError(StagectlError):
    exit_code = 4
    kind = "not_found"


class RunExistsError(StagectlError):
    exit_code = 6
    kind = "locked"


class DamagedRunError(StagectlError):
    exit_code = 7
    kind = "damaged"


class StorageError(StagectlError):
    exit_code = 8
    kind = "io"


class JobError(StagectlError):
    exit_code = 1
    kind: ClassVar[Kind] = "failed"


def dotted(path: Sequence[str | int]) -> str:
    """`("stages", 1, "name")` as users write it: `stages.1.name`."""
    return ".".join(map(str, path))


def nearest(name: str, known: Iterable[str]) -> str:
    """A closing sentence with the known name nearest to an unknown one, or with all that are known."""
    known = sorted(set(known))
    whole = [other for other in known if other.endswith(f"_{name}")]  # `threshold` is short for one of them
    close = whole if len(whole) == 1 else get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known)}" if known else ""
