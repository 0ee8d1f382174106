"""TensorBoard's event files: the scalars, a row a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stagectl.errors import TraceError
from stagectl.traces.columns import ATTEMPT, Chosen
from stagectl.traces.table import Table

if TYPE_CHECKING:
    import polars as pl

_HEADER = ["step", "metric", "value", ATTEMPT]
_FRAME_BYTES = 16  # a record's length and two checksums


def is_event_file(path: Path) -> bool:
    return ".tfevents." in path.name and path.is_file()


def tensorboard_table(name: str, files: Sequence[Path]) -> Table:
    """The scalars in the files of one folder; each file is an attempt, in the order of their names, which tell when.

    Raises:
        TraceError: There is no scalar in them, or tensorboard is not installed.
    """
    import polars as pl

    steps: list[int] = []
    tags: list[str] = []
    values: list[float] = []
    attempts: list[int] = []
    notes: list[str] = []
    for attempt, file in enumerate(sorted(files, key=lambda file: file.name)):
        whole = 0
        for size, scalars in _events(file):
            whole += size
            for step, tag, value in scalars:
                steps.append(step)
                tags.append(tag)
                values.append(value)
                attempts.append(attempt)
        if whole != file.stat().st_size:
            notes.append(f"{file}: damaged or cut short; read up to there")
    if not steps:
        raise TraceError(f"{name}: has no scalar", hint=notes[0] if notes else "")
    frame = pl.DataFrame(dict(zip(_HEADER, (steps, tags, values, attempts), strict=True)))

    def read(chosen: Chosen) -> pl.DataFrame:
        return frame.select(chosen.all())

    return Table(name, _HEADER, read, lambda row: f"{name}, {tags[row]}", name, False, tuple(notes))


def _events(file: Path) -> Iterator[tuple[int, list[tuple[int, str, float]]]]:
    """Each whole record's size, and the scalars in it as (step, tag, value)."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event
    except ImportError:
        hint = "pip install 'stagectl[simulate]'"
        raise TraceError(f"{file}: reading it needs the package tensorboard", hint=hint) from None
    from google.protobuf.message import DecodeError

    try:
        for raw in RawEventFileLoader(str(file)).Load():
            event = Event.FromString(raw)
            scalars = [(v.tag, _scalar(v)) for v in event.summary.value]
            yield len(raw) + _FRAME_BYTES, [(event.step, tag, value) for tag, value in scalars if value is not None]
    except DecodeError:
        return
    except OSError as error:
        raise TraceError(f"{file}: cannot be read: {error.strerror}") from None


def _scalar(value: Any) -> float | None:
    """A summary's value where it is one number: PyTorch and TensorFlow 1 write it bare, TensorFlow 2 as a tensor."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if value.HasField("tensor") and not value.tensor.tensor_shape.dim:
        from tensorboard.util.tensor_util import make_ndarray

        array = make_ndarray(value.tensor)
        return float(array) if array.dtype.kind in "fiub" else None
    return None
