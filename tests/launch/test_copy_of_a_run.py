"""A run's files here become those on the cluster, however its job's lines arrive."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagectl.curriculum import read_stages
from stagectl.errors import RunExistsError
from stagectl.job.lines import Output, event_line, output_line, read_line
from stagectl.launch.copy import RunCopy, write_own_end
from stagectl.runs import (
    EventLog,
    EventReader,
    RunPaths,
    StatusReader,
    create_run,
    read_events,
    read_json,
    write_json,
)

SAID = "loss 0.5 ü\n" * 3 + "100%\r\n" + "no end"
STAGES = [stage.to_dict() for stage in read_stages({"stages": ["a"]})]
FACTS = {"recipe": "doorkey", "backend": "sky", "target": None, "total_timesteps": 60, "stages": STAGES}


@pytest.fixture
def source(tmp_path: Path) -> RunPaths:
    """A run as the cluster has it."""
    paths = RunPaths(tmp_path / "there" / "doorkey-1")
    paths.folder.mkdir(parents=True)
    with EventLog(paths.events, attempt=0) as log:
        log.append("run_created", run="doorkey-1", **FACTS)
    with EventLog(paths.events, attempt=1) as log:
        for step in range(0, 60, 10):
            log.append("metrics", step, metrics={"loss": step / 7}, note="täglich\u2028\x1b[0m")
        log.append("run_ended", 60, outcome="completed", message="all done")
    return paths


@pytest.fixture
def copy(source: RunPaths) -> RunPaths:
    """The run as the launch made it here."""
    return create_run("doorkey-1", "run: doorkey-1\n", Path("/"), {}, created=read_events(source.events)[0])


def test_a_run_that_was_copied_has_a_snapshot(source: RunPaths, copy: RunPaths) -> None:
    with EventLog(source.events, attempt=1) as log:
        for step in range(60, 70):
            log.append("progress", step)
    with RunCopy(copy) as kept:
        kept.feed("".join(stream(source)))
    assert StatusReader(copy).status.step == 69


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


def test_every_event_and_every_byte_of_output_arrives(source: RunPaths, copy: RunPaths) -> None:
    with RunCopy(copy) as kept:
        kept.feed("".join(stream(source)))
        assert kept.ended
        assert not kept.has_gap
        assert kept.messages == ["\x1b[2m└── \x1b[0mJob started. Streaming logs..."]
    assert read_events(copy.events) == read_events(source.events)
    assert copy.log.read_bytes() == SAID.encode()


def test_words_of_skypilots_own_after_the_jobs_tell_that_something_befell_it(source: RunPaths, copy: RunPaths) -> None:
    own, *lines = stream(source)
    with RunCopy(copy, after=1) as kept:
        kept.feed(own)
        assert not kept.is_disturbed  # the job has not begun
        kept.feed("".join(lines[:4]))
        kept.feed("The job cluster is preempted or failed.\n")
        assert kept.is_disturbed
        kept.begin()
        kept.feed("".join(lines))
        assert not kept.is_disturbed


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


def test_nothing_is_taken_before_the_jobs_first_event_is_seen_to_be_this_runs(source: RunPaths, copy: RunPaths) -> None:
    with RunCopy(copy) as kept:
        kept.feed("".join(stream(source)[2:]))
        assert kept.has_gap
    assert len(read_events(copy.events)) == 1
    assert copy.log.read_bytes() == b""


def test_nothing_is_taken_of_another_run_of_the_same_name(source: RunPaths, copy: RunPaths) -> None:
    with EventLog(copy.events, attempt=0) as log:
        log.cut(1)
        log.append("run_created", run="doorkey-1", stages=["another"])
    with RunCopy(copy) as kept:
        kept.feed("".join(stream(source)))
        assert kept.is_other
        assert not kept.ended
    assert len(read_events(copy.events)) == 1
    assert copy.log.read_bytes() == b""


def told(paths: RunPaths, output: bytes) -> str:
    return "".join([*map(event_line, read_events(paths.events)), output_line(Output(0, output))])


@pytest.mark.parametrize("in_one_reading", [False, True])
def test_what_a_lost_machine_told_and_did_not_keep_is_replaced_by_what_the_next_one_tells(
    source: RunPaths, copy: RunPaths, in_one_reading: bool
) -> None:
    before = told(source, b"loss 0.5\nloss 0.4\n")
    with EventLog(source.events, attempt=2) as log:
        log.cut(5)
        log.append("attempt_started", 20, after=4)
        log.append("run_ended", 60, outcome="completed", message="")
    after = told(source, b"loss 0.5\nloss 0.3\n")
    seen = EventReader(copy.events)
    with RunCopy(copy) as kept:
        kept.feed(before)
        assert kept.ended
        assert len(list(seen.read())) == 8
        if not in_one_reading:
            kept.begin()
        kept.feed(after)
        assert kept.ended
        assert not kept.has_gap
    assert read_events(copy.events) == read_events(source.events)
    assert copy.log.read_bytes() == b"loss 0.5\nloss 0.3\n"
    assert list(seen.read()) == read_events(source.events)  # who looks meanwhile sees it, too


def test_the_end_of_a_run_that_goes_on_is_seen_where_what_was_there_before_is_lost(
    source: RunPaths, copy: RunPaths
) -> None:
    with RunCopy(copy) as kept:
        kept.feed(told(source, b""))
    write_json(copy.identity, {"sky": {"after": 8}})
    with EventLog(source.events, attempt=2) as log:
        log.cut(3)
        log.append("attempt_started", 0, after=1)
        log.append("run_ended", 60, outcome="completed", message="")
    with RunCopy(copy, after=8) as kept:
        kept.feed(told(source, b""))
        assert kept.ended
    assert read_json(copy.identity)["sky"]["after"] == 2


def test_an_end_that_was_written_here_and_what_skypilot_said_give_way_to_a_job_that_goes_on(
    source: RunPaths, copy: RunPaths
) -> None:
    copy.log.write_text("loss 1\n")
    write_own_end(copy, "failed", "SkyPilot says FAILED", ["no route to host"])
    assert read_events(copy.events)[-1]["message"] == "SkyPilot says FAILED"
    assert copy.log.read_text() == "loss 1\nno route to host\n"
    with RunCopy(copy, after=2) as kept:
        kept.feed(told(source, b"loss 1\nloss 2\n"))
        assert kept.ended
    assert read_events(copy.events) == read_events(source.events)
    assert copy.log.read_text() == "loss 1\nloss 2\n"


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
