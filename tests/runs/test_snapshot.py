"""A status taken on from the snapshot that the log's writer kept: the same as of the whole log, and soon there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stagectl.errors import DamagedRunError, StorageError
from stagectl.runs import Ending, EventLog, RunPaths, RunStatus, StatusReader, create_run, read_status, write_end
from stagectl.runs.reader import SNAPSHOT_BYTES
from tests.runs.test_run_status import FACTS


@pytest.fixture
def paths() -> RunPaths:
    """A run whose first attempt trained for six steps, with a snapshot as of the fourth."""
    paths = create_run("r", "text", Path("/"), FACTS)
    with EventLog(paths.events, attempt=1) as log:
        log.append("attempt_started", 0)
        log.append("stage_started", 0, stage=0, name="navigation")
        for step in range(1, 5):
            train(log, step)
        StatusReader(paths).keep(log.size, after=1)
        for step in range(5, 7):
            train(log, step)
    return paths


def train(log: EventLog, step: int) -> None:
    log.append("episodes", step, scores=[], episodes=[step, 0, 0], performance=[step / 10, None, None])


def folds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The `seq` of every event that is folded from here on."""
    folded: list[int] = []
    apply = RunStatus.apply
    monkeypatch.setattr(RunStatus, "apply", lambda self, event: (folded.append(event["seq"]), apply(self, event))[1])
    return folded


def whole(paths: RunPaths) -> RunStatus:
    """The status by the log alone."""
    kept = paths.snapshot.rename(paths.folder / "aside")
    status = read_status(paths)
    kept.rename(paths.snapshot)
    return status


def test_only_what_came_after_the_snapshot_is_read(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, folded = whole(paths), folds(monkeypatch)
    assert read_status(paths) == expected
    assert folded == [8, 9]


def test_who_watches_sees_what_comes_after_the_snapshot(paths: RunPaths) -> None:
    reader = StatusReader(paths)
    assert reader.status.step == 4
    assert [event["step"] for event in reader.events()] == [5, 6]


def replaced(text: str) -> Callable[[RunPaths], object]:
    return lambda paths: paths.snapshot.write_text(text)


def changed(**changes: Any) -> Callable[[RunPaths], object]:
    def change(paths: RunPaths) -> None:
        data = json.loads(paths.snapshot.read_text())
        paths.snapshot.write_text(json.dumps({**data, **changes}))

    return change


def with_another_field(paths: RunPaths) -> None:
    data = json.loads(paths.snapshot.read_text())
    changed(status={**data["status"], "of_a_newer_stagectl": 1})(paths)


def cut(paths: RunPaths) -> None:
    with EventLog(paths.events, attempt=1) as log:
        log.cut(5)
        train(log, 9)


@pytest.mark.parametrize(
    "harm",
    [
        replaced(""),
        replaced("[]"),
        replaced('{"schema": 1}'),
        changed(schema=2),
        changed(place={"seq": 7, "offset": 1, "length": 9, "sha256": "no"}),
        changed(place={"seq": 7, "offset": "x", "length": None, "sha256": ""}),
        changed(status=7),
        with_another_field,
        cut,
    ],
)
def test_a_snapshot_that_is_not_of_this_log_is_passed_over(paths: RunPaths, harm: Callable[[RunPaths], object]) -> None:
    harm(paths)
    assert read_status(paths) == whole(paths)


def test_an_attempt_that_goes_on_from_before_the_snapshot_takes_back_what_it_holds(paths: RunPaths) -> None:
    with EventLog(paths.events, attempt=2) as log:
        log.append("attempt_started", 2, after=5, path="x", reason="it died", rejected=[])
    assert read_status(paths) == whole(paths)
    assert read_status(paths).stages[0].episodes == 2


def test_an_attempt_that_goes_on_from_after_the_snapshot_costs_no_reading_of_the_whole(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EventLog(paths.events, attempt=2) as log:
        log.append("attempt_started", 5, after=8, path="x", reason="it died", rejected=[])
    expected, folded = whole(paths), folds(monkeypatch)
    assert read_status(paths) == expected
    assert folded == [8, 10]


def test_a_training_keeps_a_snapshot_now_and_then_and_its_end_keeps_the_last(paths: RunPaths) -> None:
    reader = StatusReader(paths)
    with EventLog(paths.events, attempt=1) as log:
        began = log.size
        while log.size < began + 1.5 * SNAPSHOT_BYTES:
            log.append("progress", 7, text="x" * 10_000)
            reader.keep(log.size)
        assert 0 < log.seq - StatusReader(paths).status.seq < 100
        write_end(log, Ending(0), read_status(paths))
    assert StatusReader(paths).status.ended is not None


def test_an_attempt_that_takes_back_what_the_snapshot_holds_is_sorted_out_once(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EventLog(paths.events, attempt=2) as log:
        log.append("attempt_started", 2, after=5, path="x", reason="it died", rejected=[])
        StatusReader(paths).keep(log.size, after=1)
    expected, folded = whole(paths), folds(monkeypatch)
    assert read_status(paths) == expected
    assert folded == []


def test_who_was_reading_when_such_an_attempt_began_keeps_a_snapshot_soon(paths: RunPaths) -> None:
    reader = StatusReader(paths)
    with EventLog(paths.events, attempt=2) as log:
        log.append("attempt_started", 2, after=5, path="x", reason="it died", rejected=[])
        reader.read()
        reader.keep(log.size)
        assert StatusReader(paths).status.attempt == 2


def test_damage_before_the_snapshot_is_found_by_who_reads_the_whole(paths: RunPaths) -> None:
    lines = paths.events.read_bytes().splitlines(keepends=True)
    paths.events.write_bytes(b"".join([*lines[:2], lines[2].replace(b'"seq"', b'"sep"'), *lines[3:]]))
    assert read_status(paths).step == 6
    with pytest.raises(DamagedRunError, match="this line is no event"):
        read_status(paths, whole=True)


def test_a_short_log_has_a_snapshot_once_its_run_has_ended() -> None:
    paths = create_run("short", "text", Path("/"), FACTS)
    with EventLog(paths.events, attempt=1) as log:
        StatusReader(paths).keep(log.size)
        assert not paths.snapshot.exists()
        write_end(log, Ending(1), read_status(paths))
    assert StatusReader(paths).status.ended is not None


def test_a_disk_that_refuses_a_snapshot_does_not_hinder_the_training(
    paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refuse(*_: object) -> None:
        tried.append(1)
        raise StorageError("no space left")

    monkeypatch.setattr("stagectl.runs.reader.save_snapshot", refuse)
    reader = StatusReader(paths)
    for _ in range(2):
        reader.keep(10_000, after=1)
    assert tried == [1]
    assert read_status(paths) == whole(paths)
