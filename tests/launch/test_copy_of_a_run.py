"""A run's files here become those on the cluster, however its job's lines arrive."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagectl.errors import RunExistsError
from stagectl.job.lines import Output, event_line, output_line, read_line
from stagectl.launch.copy import RunCopy
from stagectl.runs import EventLog, RunPaths, create_run, read_events

SAID = "loss 0.5 ü\n" * 3 + "100%\r\n" + "no end"


@pytest.fixture
def source(tmp_path: Path) -> RunPaths:
    """A run as the cluster has it."""
    paths = RunPaths(tmp_path / "there" / "doorkey-1")
    paths.folder.mkdir(parents=True)
    with EventLog(paths.events, attempt=0) as log:
        log.append("run_created", run="doorkey-1", stages=[])
    with EventLog(paths.events, attempt=1) as log:
        for step in range(0, 60, 10):
            log.append("metrics", step, metrics={"loss": step / 7}, note="täglich\u2028\x1b[0m")
        log.append("run_ended", 60, outcome="completed", message="all done")
    return paths


@pytest.fixture
def copy() -> RunPaths:
    return create_run("doorkey-1", "run: doorkey-1\n", Path("/"), {"stages": []})


def stream(source: RunPaths) -> list[str]:
    """The lines as SkyPilot shows them: with its prefix and its colours, between its own."""
    output, offset = [], 0
    for line in SAID.encode().splitlines(keepends=True):
        output.append(output_line(Output(offset, line)))
        offset += len(line)
    lines = [event_line(event) for event in read_events(source.events)]
    mixed = [line for pair in zip(lines, [*output, *[""] * len(lines)], strict=False) for line in pair if line]
    own = "\x1b[2m└── \x1b[0mJob started. Streaming logs...\n"
    return [own, *(f"\x1b[36m(doorkey-1, pid=13967)\x1b[0m {line}" for line in mixed)]


def without_creation(paths: RunPaths) -> list[dict[str, Any]]:
    return read_events(paths.events)[1:]


def test_every_event_and_every_byte_of_output_arrives(source: RunPaths, copy: RunPaths) -> None:
    with RunCopy(copy) as kept:
        kept.feed("".join(stream(source)))
        assert kept.ended
        assert not kept.has_gap
        assert kept.messages == ["\x1b[2m└── \x1b[0mJob started. Streaming logs..."]
    assert without_creation(copy) == without_creation(source)
    assert copy.log.read_bytes() == SAID.encode()


@given(seed=st.integers(0, 10**6))
def test_lines_that_are_repeated_cut_lost_or_out_of_order_are_made_good_by_reading_again(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    chance = random.Random(seed)
    folder = tmp_path_factory.mktemp("run")
    there, here = RunPaths(folder / "there"), RunPaths(folder / "here")
    for paths in (there, here):
        paths.folder.mkdir()
        with EventLog(paths.events, attempt=0, clock=lambda: 5.0) as log:
            log.append("run_created", run="r", stages=[])
    with EventLog(there.events, attempt=1) as log:
        for step in range(12):
            log.append("metrics", step, metrics={"loss": chance.random()})
        log.append("run_ended", 12, outcome="completed", message="")
    lines = stream(there)
    for _ in range(5):  # connections, each of them from the start
        sent = [line for line in lines if chance.random() > 0.1]
        sent += chance.sample(lines, 3)
        if chance.random() < 0.5:
            chance.shuffle(sent)
        text = "".join(sent)
        cut = chance.randrange(len(text))
        text = text[:cut] + chance.choice(["", "|####  |\r", "\n"]) + text[cut + chance.randrange(40) :]
        with RunCopy(here) as kept:  # its process may be another one each time
            kept.begin()
            while text:
                size = chance.randint(1, 200)
                kept.feed(text[:size])
                text = text[size:]
        assert read_events(here.events) == read_events(there.events)[: len(read_events(here.events))]
        if here.log.exists():
            assert SAID.encode().startswith(here.log.read_bytes())
    with RunCopy(here) as kept:
        kept.begin()
        kept.feed("".join(lines))
        assert kept.ended
    assert read_events(here.events) == read_events(there.events)
    assert here.log.read_bytes() == SAID.encode()


def test_a_missing_line_is_a_gap_until_the_output_is_read_again(source: RunPaths, copy: RunPaths) -> None:
    lines = stream(source)
    with RunCopy(copy) as kept:
        kept.feed("".join([*lines[:4], *lines[7:]]))
        assert kept.has_gap
        assert not kept.ended
        kept.begin()
        kept.feed("".join(lines))
        assert kept.ended
        assert not kept.has_gap


def test_one_process_at_a_time_keeps_the_copy(copy: RunPaths) -> None:
    with RunCopy(copy), pytest.raises(RunExistsError):
        RunCopy(copy)


@given(event=st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none(), st.floats(allow_nan=False))))
def test_an_event_comes_back_from_its_line(event: dict[str, Any]) -> None:
    line = event_line(event)
    assert line.isascii()
    assert line.count("\n") == 1
    assert read_line(f"(x, pid=1) {line}") == event


@given(text=st.binary(), offset=st.integers(0, 10**15))
def test_output_comes_back_from_its_line_whatever_it_holds(text: bytes, offset: int) -> None:
    assert read_line(output_line(Output(offset, text))) == Output(offset, text)


@pytest.mark.parametrize(
    "line", ["", "loss 0.5", '@stagectl:00000000 {"seq":1}', "@stagectl:zz {}", "@stagectl:12345678", "@stagectl:"]
)
def test_what_is_not_whole_is_no_line_of_the_jobs(line: str) -> None:
    assert read_line(line) is None
