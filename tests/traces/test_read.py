"""What a recording may look like: many layouts, several runs, units, steps that go back."""

from __future__ import annotations

import gzip
import io
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagectl.errors import TraceError
from stagectl.traces import Columns, Row, Trace, read_batches, read_traces, trace_of_rows, write_trace
from stagectl.traces.fold import fold

COLUMNS = "step,stage,score\n10,nav,0.5\n20,nav,0.30000000000000004\n20,seq,\n30,seq,1.0\n"


def told(trace: Trace) -> list[tuple[int, float | None]]:
    return [(row.step, row.score) for row in trace.rows()]


def write(tmp_path: Path, text: str, name: str = "trace.csv") -> str:
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def read(tmp_path: Path, text: str, columns: Columns = Columns()) -> Trace:  # noqa: B008
    (trace,) = read_traces([write(tmp_path, text)], columns)
    return trace


# ── formats ─────────────────────────────────────────────────────────────────────────────────────────────────────


def as_jsonl(text: str) -> bytes:
    return pl.read_csv(text.encode()).write_ndjson().encode()


def as_parquet(text: str) -> bytes:
    out = io.BytesIO()
    pl.read_csv(text.encode()).write_parquet(out)
    return out.getvalue()


def zstd(raw: bytes) -> bytes:
    return subprocess.run(["zstd", "-c"], input=raw, capture_output=True, check=True).stdout


FORMATS = {
    "csv": COLUMNS.encode(),
    "csv in UTF-16": COLUMNS.encode("utf-16"),
    "csv with a byte order mark": COLUMNS.encode("utf-8-sig"),
    "csv with semicolons and decimal commas": COLUMNS.replace(",", ";").replace(".", ",").encode(),
    "csv with tabs": COLUMNS.replace(",", "\t").encode(),
    "csv with old line ends": COLUMNS.replace("\n", "\r").encode(),
    "csv after a comment": b"# by hand\n" + COLUMNS.encode(),
    "jsonl": as_jsonl(COLUMNS),
    "parquet": as_parquet(COLUMNS),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd", "standard input"])
def test_every_format_reads_as_the_same_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, packing: str
) -> None:
    raw = FORMATS[name]
    raw = gzip.compress(raw) if packing == "gzip" else zstd(raw) if packing == "zstd" else raw
    if packing == "zstd" and name in ("parquet", "csv in UTF-16"):
        pytest.skip("unpacked zstd is read as UTF-8")
    source = tmp_path / "trace"
    source.write_bytes(raw)
    with source.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        (trace,) = read_traces(["-" if packing == "standard input" else str(source)])
    assert told(trace) == [(10, 0.5), (20, 0.1 + 0.2), (20, None), (30, 1.0)]
    assert trace.entries() == [(0, "nav"), (2, "seq")]


@given(scores=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_a_float_is_read_as_the_float_that_was_written(
    tmp_path_factory: pytest.TempPathFactory, scores: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("exact")
    text = "step,score\n" + "".join(f"{step},{score!r}\n" for step, score in enumerate(scores))
    (from_csv,) = read_traces([write(folder, text)])
    lines = "".join(json.dumps({"step": step, "score": score}) + "\n" for step, score in enumerate(scores))
    (from_jsonl,) = read_traces([write(folder, lines, "trace.jsonl")])
    (from_text,) = read_traces([write(folder, text + "1e3,true\n", "text.csv")])  # read another way: no plain numbers
    for trace in (from_csv, from_jsonl, from_text):
        assert trace.scores[: len(scores)].tobytes() == np.array(scores).tobytes()


NAMES = ["m", "score", "step", "stage", "visit", "seed", "count", "mean_of", "metric:m", "Value"]


@given(
    rows=st.lists(
        st.builds(
            Row,
            step=st.integers(0, 3),
            score=st.none() | st.floats(-1e300, 1e300),
            stage=st.sampled_from([None, "a", " b ", "c,d", 'e"f', "#1", "ü"]),
            visit=st.sampled_from([None, 0, 2]),
            advance_to=st.sampled_from([None, "b"]),
            episodes=st.sampled_from([1, 1, 4]),
            metrics=st.dictionaries(st.sampled_from(NAMES), st.floats(-1e9, 1e9), max_size=3),
        ),
        min_size=1,
        max_size=8,
    ),
    start=st.sampled_from([None, "a"]),
    suffix=st.sampled_from([".csv", ".jsonl.gz", ".parquet"]),
)
def test_a_trace_is_read_as_it_was_written_whatever_its_metrics_are_called(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], start: str | None, suffix: str
) -> None:
    rows = [row._replace(step=at + row.step + 1) for at, row in enumerate(sorted(rows, key=lambda row: row.step))]
    trace = trace_of_rows("t", rows, start)
    file = tmp_path_factory.mktemp("written") / f"t{suffix}"
    with file.open("wb") as out:
        write_trace(trace, out, suffix)
    (again,) = read_traces([str(file)], Columns(metrics=frozenset(NAMES)))
    assert list(again.rows()) == rows
    assert again.start == start


def test_a_long_table_has_a_row_a_value_in_any_order(tmp_path: Path) -> None:
    text = "metric,step,value\nloss,1,9\nloss,3,8\nsuccess,1,0\nsuccess,2,1\nother,9,9\n"
    trace = read(tmp_path, text, Columns(metrics=frozenset({"loss"})))
    assert [(row.step, row.score, dict(row.metrics)) for row in trace.rows()] == [
        (1, 0.0, {}),
        (1, None, {"loss": 9.0}),
        (2, 1.0, {}),
        (3, None, {"loss": 8.0}),
    ]


def test_an_aggregated_row_counts_as_many_episodes_as_it_says(tmp_path: Path) -> None:
    trace = read(tmp_path, "step,success_rate,count\n10,0.5,4\n20,,0\n30,1,1\n")
    assert [(row.score, row.episodes) for row in trace.rows()] == [(0.5, 4), (None, 0), (1.0, 1)]
    assert "each score is the mean of as many episodes as count says" in trace.notes
    assert read(tmp_path, "step,success,count\n10,1,4\n").counts is None  # a count of whatever


def test_a_monitors_file_is_understood(tmp_path: Path) -> None:
    trace = read(tmp_path, '#{"t_start": 1.5}\nr,l,t\n1.0,10,0.5\n0.0,20,0.9\n')
    assert told(trace) == [(10, 1.0), (30, 0.0)]
    assert trace.notes == ("steps are the running sum of l",)


@pytest.mark.parametrize("packing", ["folder", "log", "gzip", "standard input"])
def test_a_runs_event_log_is_read_from_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: str
) -> None:
    events: list[dict[str, object]] = [
        {"event": "run_created", "step": 0, "stages": [{"name": "a"}, {"name": "b"}], "start": 1, "metrics": []},
        {"event": "episodes", "step": 10, "scores": [[1, 1.0]]},
        {"event": "episodes", "step": 20, "scores": [[1, 0.0]]},
        {"event": "attempt_started", "step": 10, "after": 2},
        {"event": "episodes", "step": 20, "scores": [[1, 0.5]]},
    ]
    lines = [json.dumps({"seq": seq, "attempt": 1, "time": 0.0, **event}) for seq, event in enumerate(events, 1)]
    log = "\n".join([*lines, '{"seq": 6, "torn'])
    (tmp_path / "events.jsonl").write_text(log)
    (tmp_path / "log.gz").write_bytes(gzip.compress(log.encode()))
    with (tmp_path / "events.jsonl").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        source = {"folder": "", "log": "events.jsonl", "gzip": "log.gz", "standard input": "-"}[packing]
        (trace,) = read_traces([source if source == "-" else str(tmp_path / source)])
    assert [(row.step, row.stage, row.score) for row in trace.rows()] == [(10, "b", 1.0), (20, "b", 0.5)]
    assert trace.start == "b"
    assert trace.notes == ("1 episode left out: a later attempt went on from before",)


# ── several runs ────────────────────────────────────────────────────────────────────────────────────────────────


def test_runs_in_one_file_are_told_apart_by_a_column(tmp_path: Path) -> None:
    source = write(tmp_path, "step,seed,success\n10,1,0\n10,2,1\n20,1,1\n20,2,0\n")
    one, two = read_traces([source])
    assert (one.name, told(one)) == (f"{source} seed=1", [(10, 0.0), (20, 1.0)])
    assert (two.name, told(two)) == (f"{source} seed=2", [(10, 1.0), (20, 0.0)])


def test_a_seed_of_its_own_for_every_episode_tells_no_runs_apart(tmp_path: Path) -> None:
    assert len(read(tmp_path, "step,seed,success\n10,1,0\n20,2,1\n30,3,1\n")) == 3


def test_a_row_is_told_by_its_line_though_its_run_is_read_apart(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"trace\.csv:5: success is 'x'"):
        read(tmp_path, "step,seed,success\n10,1,0\n10,2,1\n20,1,1\n20,2,x\n")
    with pytest.raises(TraceError, match=r"trace\.csv:6: step goes back from 20 to 10"):
        read(tmp_path, "step,seed,success\n10,1,0\n10,2,1\n20,1,1\n20,2,1\n10,2,1\n")


def test_a_glob_gives_each_file_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv"):
        write(tmp_path, COLUMNS, name)
    assert [trace.name for trace in read_traces([f"{tmp_path}/*.csv"])] == [f"{tmp_path}/a.csv", f"{tmp_path}/b.csv"]
    with pytest.raises(TraceError, match="no file matches"):
        read_traces([f"{tmp_path}/*.parquet"])


# ── units ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_step_and_a_score_count_is_told_and_said(tmp_path: Path) -> None:
    columns = Columns(step_factor=8, score_range=(0, 100))
    trace = read(tmp_path, "global_step,success_rate\n10,50\n20,100\n", columns)
    assert told(trace) == [(80, 0.5), (160, 1.0)]
    assert trace.notes == ("each step of global_step counts as 8 steps", "a score of 0 counts as 0, one of 100 as 1")
    assert told(read(tmp_path, "step,return\n1,-200\n2,0\n", Columns(score_range=(-200, 0)))) == [(1, 0.0), (2, 1.0)]


def test_rows_without_steps_may_stand_for_some(tmp_path: Path) -> None:
    assert told(read(tmp_path, "success\n1\n0\n", Columns(steps_per_row=2048))) == [(2048, 1.0), (4096, 0.0)]


def test_a_table_of_metrics_alone_is_a_trace_where_criteria_name_them(tmp_path: Path) -> None:
    trace = read(tmp_path, "step,loss\n1,2\n", Columns(metrics=frozenset({"loss"})))
    assert [(row.score, dict(row.metrics)) for row in trace.rows()] == [(None, {"loss": 2.0})]


def test_scores_that_are_all_empty_are_a_trace(tmp_path: Path) -> None:
    assert told(read(tmp_path, "step,score\n1,\n2,\n")) == [(1, None), (2, None)]


# ── steps that go back ──────────────────────────────────────────────────────────────────────────────────────────


def steps(tmp_path: Path, recorded: list[int]) -> Trace:
    return read(tmp_path, "step,score\n" + "".join(f"{step},{at}\n" for at, step in enumerate(recorded)))


def test_after_a_resume_what_the_earlier_attempt_recorded_beyond_it_is_left_out(tmp_path: Path) -> None:
    trace = steps(tmp_path, [10, 20, 30, 40, 25, 35, 45])
    assert told(trace) == [(10, 0.0), (20, 1.0), (25, 4.0), (35, 5.0), (45, 6.0)]
    assert trace.notes == ("2 rows left out: a later attempt went on from before",)


def test_late_rows_of_an_earlier_attempt_among_those_of_the_later_are_left_out(tmp_path: Path) -> None:
    trace = steps(tmp_path, [100, 200, 300, 150, 310, 160, 320, 170, 180])
    assert trace.steps.tolist() == [100, 150, 160, 170, 180]
    assert trace.notes == ("4 rows left out: a later attempt went on from before",)


def test_one_late_row_among_many_does_not_take_them_away(tmp_path: Path) -> None:
    trace = steps(tmp_path, [*range(10, 101, 10), 55, *range(110, 151, 10)])
    assert trace.steps.tolist() == sorted([*range(10, 151, 10), 55])
    assert trace.notes == ("1 row came late: put where the steps belong",)


def test_an_attempts_number_says_exactly_what_is_superseded(tmp_path: Path) -> None:
    trace = read(tmp_path, "step,attempt,score\n10,1,0\n20,1,0\n30,1,0\n20,2,1\n31,1,0\n30,2,1\n")
    assert told(trace) == [(10, 0.0), (20, 1.0), (30, 1.0)]


@pytest.mark.parametrize("recorded", [[10, 20, 30, 10, 20, 30], [20, 10], [step % 7 for step in range(900)]])
def test_rows_in_disorder_are_an_error_with_both_remedies(tmp_path: Path, recorded: list[int]) -> None:
    with pytest.raises(TraceError, match=r"goes back .*sort the rows by step.*--run-column NAME"):
        steps(tmp_path, recorded)


@given(recorded=st.lists(st.integers(0, 30), min_size=1, max_size=40))
def test_whatever_the_steps_do_a_trace_never_goes_back_and_every_row_is_accounted_for(recorded: list[int]) -> None:
    try:
        folded = fold(np.array(recorded), None, "step", str)
    except TraceError:
        return
    if folded is None:
        assert recorded == sorted(recorded)
        return
    kept = [recorded[row] for row in folded.rows]
    assert kept == sorted(kept)
    assert len(set(folded.rows.tolist())) == len(kept)
    assert len(kept) + folded.superseded == len(recorded)


def test_a_long_stretch_without_rows_is_said(tmp_path: Path) -> None:
    assert steps(tmp_path, [*range(0, 500, 10), *range(1500, 2000, 10)]).notes == (
        "no row between step 490 and step 1,500",
    )
    assert steps(tmp_path, [*range(0, 500, 10), *range(520, 1000, 10)]).notes == ()


# ── in parts ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_a_file_read_in_parts_is_the_file_read_whole(tmp_path: Path, rows: int) -> None:
    text = "step,score\n" + "".join(f"{step},{math.sin(step)!r}\n" for step in range(500)).rstrip("\n")
    source = write(tmp_path, text)
    (whole,) = read_traces([source])
    parts = list(read_batches(Path(source), rows=rows))
    assert np.concatenate([part.scores for part in parts]).tobytes() == whole.scores.tobytes()
    assert np.concatenate([part.steps for part in parts]).tolist() == whole.steps.tolist()
    assert (len(parts) > 10) == (rows < 10)


def test_a_fault_in_a_later_part_is_told_with_its_line(tmp_path: Path) -> None:
    lines = [f"{step},1\n" for step in range(500)]
    for fault, message in (
        ("x,1\n", ":402: step is 'x'"),
        ("1\n", ":402: has 1 values"),
        ("3,1\n", ":402: .*goes back"),
    ):
        source = write(tmp_path, "".join(["step,score\n", *lines[:400], fault, *lines[401:]]))
        with pytest.raises(TraceError, match=message):
            list(read_batches(Path(source), rows=1))


def test_other_files_are_given_in_parts_too(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(as_parquet(COLUMNS))
    assert [len(part) for part in read_batches(tmp_path / "t.parquet", rows=3)] == [3, 1]
