"""The event log: a valid prefix after every fault, `seq` gapless, damage told with its place."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagectl.errors import DamagedRunError, RunExistsError, StorageError
from stagectl.runs import EventLog, EventReader, finite, is_locked, read_events

EVENTS: list[tuple[str, int, dict[str, Any]]] = [
    ("run_created", 0, {"run": "é…"}),
    ("ready", 0, {}),
    ("episodes", 10, {"scores": [[0, 0.5]]}),
    ("metrics", 10, {}),
    ("run_ended", 20, {"message": '"a"\n'}),
]


def append_all(log: EventLog) -> list[dict[str, Any]]:
    return [log.append(event, step, **fields) for event, step, fields in EVENTS]


def written(path: Path) -> list[dict[str, Any]]:
    with EventLog(path, attempt=1, clock=lambda: 1000.0) as log:
        return append_all(log)


@pytest.fixture
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing costs milliseconds, which a test of every byte cannot spend."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def test_what_is_written_is_read(path: Path) -> None:
    events = written(path)
    assert read_events(path) == events
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]
    assert [json.loads(line) for line in path.read_text().splitlines()] == events


def test_every_event_has_seq_attempt_step_time_and_its_name(path: Path) -> None:
    with EventLog(path, attempt=3, clock=lambda: 12.3456) as log:
        assert log.append("ready", 7, extra=1) == {
            "seq": 1,
            "attempt": 3,
            "step": 7,
            "time": 12.346,
            "event": "ready",
            "extra": 1,
        }
        assert log.append("checkpoint")["step"] == 7


def test_the_next_writer_goes_on_counting(path: Path) -> None:
    written(path)
    with EventLog(path, attempt=2) as log:
        event = log.append("attempt_started")
    assert (event["seq"], event["attempt"], event["step"]) == (6, 2, 20)
    assert [event["seq"] for event in read_events(path)] == [1, 2, 3, 4, 5, 6]


def test_a_log_that_is_not_there_has_no_events(path: Path) -> None:
    assert read_events(path) == []


@pytest.mark.usefixtures("unflushed")
def test_a_line_torn_at_any_byte_is_passed_over_by_readers_and_cut_off_by_the_next_writer(path: Path) -> None:
    written(path)
    raw = path.read_bytes()
    for length in range(len(raw) + 1):
        path.write_bytes(raw[:length])
        whole = raw[:length].count(b"\n")
        assert [event["seq"] for event in read_events(path)] == list(range(1, whole + 1))
        assert path.read_bytes() == raw[:length], "a reader wrote"
        with EventLog(path, attempt=2) as log:
            log.append("attempt_started")
        assert path.read_bytes().startswith(raw[: raw.rfind(b"\n", 0, length) + 1])
        assert [event["seq"] for event in read_events(path)] == list(range(1, whole + 2))


def test_repairing_twice_changes_nothing(path: Path) -> None:
    written(path)
    path.write_bytes(path.read_bytes()[:-7])
    EventLog(path, attempt=2).close()
    once = path.read_bytes()
    EventLog(path, attempt=2).close()
    assert path.read_bytes() == once


def test_a_torn_line_of_many_blocks_is_cut_off(path: Path) -> None:
    written(path)
    raw = path.read_bytes()
    path.write_bytes(raw + b'{"seq":6,"x":"' + b"y" * 300_000)
    with EventLog(path, attempt=2) as log:
        assert log.append("attempt_started")["seq"] == 6
    assert len(read_events(path)) == 6


def test_an_event_longer_than_a_block_is_found_again(path: Path) -> None:
    with EventLog(path, attempt=1) as log:
        log.append("episodes", scores=[[0, 0.5]] * 50_000)
    with EventLog(path, attempt=1) as log:
        assert log.append("ready")["seq"] == 2


def offsets(path: Path) -> list[int]:
    lines = path.read_bytes().splitlines(keepends=True)
    return [sum(map(len, lines[:index])) for index in range(len(lines))]


@pytest.mark.parametrize("line", [0, 1, 2, 3])
@pytest.mark.parametrize("target", [b"{", b'"seq":', b'"event":', b"}\n", b"\n"])
def test_a_flipped_bit_in_the_middle_is_told_with_the_byte_at_which_its_line_begins(
    path: Path, line: int, target: bytes
) -> None:
    written(path)
    start = offsets(path)[line]
    raw = bytearray(path.read_bytes())
    position = raw.index(target, start)
    raw[position] ^= 0x04 if target != b"\n" else 0x40
    path.write_bytes(raw)
    reader = EventReader(path)
    seen = []
    with pytest.raises(DamagedRunError, match=f"byte {start}: ") as raised:
        seen += [event["seq"] for event in reader.read()]
    assert reader.seq == line
    assert raised.value.exit_code == 7


def test_no_flipped_bit_makes_a_reader_fail_otherwise_than_by_telling(path: Path) -> None:
    written(path)
    raw = path.read_bytes()
    for position in range(len(raw)):
        damaged = bytearray(raw)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            seqs = [event["seq"] for event in read_events(path)]
        except DamagedRunError:
            continue
        assert seqs == list(range(1, len(seqs) + 1))


def test_a_missing_line_in_the_middle_is_told(path: Path) -> None:
    written(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    with pytest.raises(DamagedRunError, match=f"byte {len(b''.join(lines[:2]))}: event 4 follows event 2"):
        read_events(path)


def test_a_line_cut_in_the_middle_is_told(path: Path) -> None:
    written(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:20] + b"\n" + b"".join(lines[2:]))
    with pytest.raises(DamagedRunError, match=f"byte {len(lines[0])}: this line is no event"):
        read_events(path)


def test_a_writer_refuses_a_log_whose_last_whole_line_is_no_event_and_lets_go_of_it(path: Path) -> None:
    written(path)
    with path.open("ab") as file:
        file.write(b"garbage\n")
    with pytest.raises(DamagedRunError, match="this line is no event"):
        EventLog(path, attempt=2)
    assert not is_locked(path)


def test_two_writers_exclude_each_other(path: Path) -> None:
    with EventLog(path, attempt=1):
        with pytest.raises(RunExistsError, match="being written by another process"):
            EventLog(path, attempt=1)
        assert is_locked(path)
    EventLog(path, attempt=1).close()
    assert not is_locked(path)


def test_a_writer_may_be_closed_twice(path: Path) -> None:
    log = EventLog(path, attempt=1)
    log.close()
    log.close()


# ── readers ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reader_reads_each_event_once_however_the_log_grows(path: Path) -> None:
    written(path)
    raw = path.read_bytes()
    path.write_bytes(b"")
    reader = EventReader(path)
    seen = []
    for length in range(len(raw) + 1):
        path.write_bytes(raw[:length])
        seen += [event["seq"] for event in reader.read()]
    assert seen == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("after", range(7))
def test_a_reader_may_begin_after_an_event(path: Path, after: int) -> None:
    written(path)
    assert [event["seq"] for event in EventReader(path, after=after).read()] == list(range(after + 1, 6))


def test_a_reader_that_stopped_halfway_goes_on_there(path: Path) -> None:
    written(path)
    reader = EventReader(path)
    for event in reader.read():
        if event["seq"] == 2:
            break
    assert [event["seq"] for event in reader.read()] == [3, 4, 5]


def test_a_reader_follows_a_log_through_a_crash_and_its_repair(path: Path) -> None:
    written(path)
    reader = EventReader(path)
    with path.open("ab") as file:
        file.write(b'{"seq":6,"att')
    assert len(list(reader.read())) == 5
    with EventLog(path, attempt=2) as log:
        log.append("attempt_started")
    assert [event["seq"] for event in reader.read()] == [6]


@pytest.mark.parametrize("again", range(4))
def test_a_reader_of_a_log_that_was_cut_reads_it_from_its_start(path: Path, again: int) -> None:
    """However much was written since it looked: the line that it read last is another one."""
    written(path)
    reader = EventReader(path)
    assert len(list(reader.read())) == 5
    with EventLog(path, attempt=2) as log:
        log.cut(4)
        assert log.seq == 3
        for _ in range(again):
            log.append("attempt_started")
    assert list(reader.read()) == read_events(path)
    assert [event["seq"] for event in read_events(path)] == list(range(1, 4 + again))
    assert list(reader.read()) == []


@given(st.lists(st.dictionaries(st.text(max_size=3), st.floats(allow_nan=False, allow_infinity=False)), max_size=5))
def test_numbers_and_text_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, metrics: list[dict[str, float]]
) -> None:
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    with EventLog(path, attempt=1) as log:
        for values in metrics:
            log.append("metrics", metrics=values)
    assert [event["metrics"] for event in read_events(path)] == metrics


# ── a disk that refuses ─────────────────────────────────────────────────────────────────────────────────────


class FullDisk:
    """os.pwrite that takes `room` bytes, and then no more."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.pwrite = os.pwrite

    def __call__(self, fd: int, raw: bytes, offset: int) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self.pwrite(fd, raw[: self.room], offset)
        self.room -= written
        return written


@pytest.mark.usefixtures("unflushed")
def test_a_disk_that_is_full_after_any_byte_leaves_the_log_valid_and_the_writer_usable(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(path)
    size = path.stat().st_size
    lengths = [len(line) for line in path.read_bytes().splitlines(keepends=True)]
    for room in range(0, size, 5):
        path.unlink()
        with EventLog(path, attempt=1, clock=lambda: 1000.0) as log:
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", FullDisk(room))
                with pytest.raises(StorageError, match="No space left on device"):
                    append_all(log)
            fitting = sum(sum(lengths[: n + 1]) <= room for n in range(len(lengths)))
            assert path.stat().st_size == sum(lengths[:fitting])
            assert log.append("attempt_started")["seq"] == fitting + 1
        assert [event["seq"] for event in read_events(path)] == list(range(1, fitting + 2))


def test_an_event_that_could_not_be_written_does_not_move_the_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EventLog(path, attempt=1) as log:
        log.append("ready", 5)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", FullDisk(3))
            with pytest.raises(StorageError):
                log.append("metrics", 99)
        assert log.append("attempt_ended")["step"] == 5


def test_a_disk_that_refuses_to_flush_leaves_the_log_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with EventLog(path, attempt=1) as log:
        log.append("ready")
        before = path.read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", broken)
            with pytest.raises(StorageError, match="Input/output error"):
                log.append("stage_transition")
        assert path.read_bytes() == before


def test_what_json_cannot_hold_is_refused_and_leaves_the_log_as_it_was(path: Path) -> None:
    with EventLog(path, attempt=1) as log:
        log.append("ready", 1)
        for bad in (float("nan"), float("inf"), object()):
            with pytest.raises((ValueError, TypeError)):
                log.append("metrics", 2, metrics={"x": bad})
        assert log.append("progress") == read_events(path)[-1]
    assert [event["seq"] for event in read_events(path)] == [1, 2]


def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(fd), fsync(fd))[1])
    return calls


@pytest.mark.parametrize(
    "event",
    [
        "run_created",
        "attempt_started",
        "stage_transition",
        "curriculum_ended",
        "checkpoint",
        "attempt_ended",
        "run_ended",
    ],
)
def test_what_must_not_be_lost_is_on_disk_at_once(path: Path, monkeypatch: pytest.MonkeyPatch, event: str) -> None:
    with EventLog(path, attempt=1, clock=lambda: 0.0) as log:
        calls = synced(monkeypatch)
        log.append(event)
        assert len(calls) == 1


def test_metrics_are_on_disk_within_a_second_also_when_the_clock_is_set_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    with EventLog(path, attempt=1, clock=lambda: now[0]) as log:
        calls = synced(monkeypatch)
        counts = []
        for time in (1000.5, 1000.9, 1001.0, 1001.5, 1002.1, 10.0, 10.5, 11.0):
            now[0] = time
            log.append("metrics")
            counts.append(len(calls))
    assert counts == [0, 0, 1, 1, 2, 3, 3, 4]


# ── processes ───────────────────────────────────────────────────────────────────────────────────────────────

WRITER = """
import sys
from pathlib import Path
from stagectl.runs import EventLog
log = EventLog(Path(sys.argv[1]), attempt=1)
print("held", flush=True)
while True:
    log.append("progress")
"""


def test_a_writer_that_is_killed_lets_go_and_leaves_a_valid_prefix(path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"held\n"
        try:
            with pytest.raises(RunExistsError):
                EventLog(path, attempt=2)
            assert is_locked(path)
        finally:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
    assert not is_locked(path)
    with EventLog(path, attempt=2) as log:
        seq = log.append("attempt_started")["seq"]
    assert [event["seq"] for event in read_events(path)] == list(range(1, seq + 1))


# ── metrics ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_metrics_that_are_no_finite_numbers_are_set_apart_by_name() -> None:
    values = {"a": 1, "b": float("nan"), "c": float("inf"), "d": None, "e": "text", "f": True, "g": [], "h": 10**400}
    assert finite(values) == ({"a": 1.0, "f": 1.0}, ["b", "c", "d", "e", "g", "h"])
