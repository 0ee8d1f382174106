"""TensorBoard's event files, written by the real writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagectl.errors import TraceError
from stagectl.traces import Columns, read_traces

pytest.importorskip("tensorboard")


def log(folder: Path, rows: list[tuple[int, str, float]], suffix: str = "") -> Path:
    """Scalars in one event file, as PyTorch's SummaryWriter writes them; the file."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder), filename_suffix=suffix)
    for step, tag, value in rows:
        writer.add_event(Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)])))
    writer.close()
    (made,) = folder.glob(f"*{suffix}") if suffix else folder.iterdir()
    return made


def test_the_scalars_of_a_folder_are_read_and_the_score_is_chosen_by_its_tag(tmp_path: Path) -> None:
    rows = [(step, "rollout/success_rate", step / 8) for step in (1, 2, 3)] + [(2, "train/loss", 0.5)]
    file = log(tmp_path, rows)
    for source in (tmp_path, file):
        (trace,) = read_traces([str(source)], Columns(metrics=frozenset({"train/loss"})))
        told = [(row.step, row.score, dict(row.metrics)) for row in trace.rows()]
        assert told == [(1, 0.125, {}), (2, 0.25, {}), (2, None, {"train/loss": 0.5}), (3, 0.375, {})]
    (trace,) = read_traces([str(tmp_path)], Columns(score="train/loss"))
    assert [(row.step, row.score) for row in trace.rows()] == [(2, 0.5)]


def test_a_scalar_that_is_a_tensor_is_read_too(tmp_path: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    writer = EventFileWriter(str(tmp_path))
    for step, value in ((1, 0.5), (2, [0.5, 1.0])):  # the second is no scalar
        tensor = make_tensor_proto(value)
        writer.add_event(Event(step=step, summary=Summary(value=[Summary.Value(tag="success", tensor=tensor)])))
    writer.close()
    (trace,) = read_traces([str(tmp_path)])
    assert [(row.step, row.score) for row in trace.rows()] == [(1, 0.5)]


def test_each_file_of_a_folder_is_an_attempt_that_supersedes_the_ones_before(tmp_path: Path) -> None:
    log(tmp_path, [(step, "success", 0.0) for step in (10, 20, 30)], ".1")
    log(tmp_path, [(step, "success", 1.0) for step in (20, 40)], ".2")
    (trace,) = read_traces([str(tmp_path)])
    assert [(row.step, row.score) for row in trace.rows()] == [(10, 0.0), (20, 1.0), (40, 1.0)]
    assert "success: 2 rows left out: a later attempt went on from before" in trace.notes


def test_several_folders_are_several_runs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        log(tmp_path / name, [(1, "success", 1.0)])
    assert [trace.name for trace in read_traces([str(tmp_path)])] == [str(tmp_path / "a"), str(tmp_path / "b")]


def test_a_file_that_is_cut_short_is_read_up_to_there_and_said(tmp_path: Path) -> None:
    file = log(tmp_path, [(step, "success", 1.0) for step in range(50)])
    file.write_bytes(file.read_bytes()[:-10])
    (trace,) = read_traces([str(file)])
    assert len(trace) == 49
    assert "read up to there" in trace.notes[0]


def test_damage_is_one_clear_error_or_a_note(tmp_path: Path) -> None:
    file = log(tmp_path, [(step, "success", 1.0) for step in range(5)])
    file.write_bytes(b"\xff" * 400)
    with pytest.raises(TraceError, match="has no scalar"):
        read_traces([str(file)])


def test_a_tag_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    log(tmp_path, [(1, "rollout/success_rate", 1.0)])
    with pytest.raises(TraceError, match="did you mean 'rollout/success_rate'"):
        read_traces([str(tmp_path)], Columns(score="rollout/success"))
