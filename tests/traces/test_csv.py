"""CSV traces: headers guessed, every fault named with its line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from stagectl.errors import TraceError
from stagectl.traces import Columns, Trace, read_traces, trace_of_events, write_trace


def trace(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "trace.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read_csv(path: Path, columns: Columns = Columns()) -> Trace:  # noqa: B008
    (read,) = read_traces([str(path)], columns)
    return read


def columns(read: Trace) -> tuple[list[int], list[float | None], list[str | None] | None]:
    rows = list(read.rows())
    stages = [row.stage for row in rows] if read.stage_codes is not None else None
    return [row.step for row in rows], [row.score for row in rows], stages


@pytest.mark.parametrize("step", ["step", "global_step", "_step", "Step", "total_steps"])
@pytest.mark.parametrize("score", ["success_rate", "score", "reward", "Success", "episode_return"])
def test_usual_headers_are_understood(tmp_path: Path, step: str, score: str) -> None:
    read = read_csv(trace(tmp_path, f"other,{step},{score}\nx,5,0.5\nx,7,1\n"))
    assert columns(read) == ([5, 7], [0.5, 1.0], None)


def test_columns_may_be_named(tmp_path: Path) -> None:
    path = trace(tmp_path, "step,frames,score,won,phase\n1,10,0.1,true,a\n2,20,0.2,false,b\n")
    read = read_csv(path, Columns("frames", "won", "phase"))
    assert columns(read) == ([10, 20], [1.0, 0.0], ["a", "b"])


def test_a_stage_column_is_found(tmp_path: Path) -> None:
    read = read_csv(trace(tmp_path, "step,stage,score\n1,nav,1\n2,seq,0\n3,nav,1\n"))
    assert list(read.stage_names) == ["nav", "seq"]


def test_an_empty_stage_tells_nothing_and_a_name_is_kept_as_it_is(tmp_path: Path) -> None:
    read = read_csv(trace(tmp_path, "step,stage,score\n1, nav ,1\n2,,0\n3, ,1\n4,seq,1\n"))
    assert columns(read)[2] == [" nav ", None, None, "seq"]
    assert read.entries() == [(0, " nav "), (3, "seq")]


def test_rows_of_equal_step_are_one_boundary(tmp_path: Path) -> None:
    read = read_csv(trace(tmp_path, "step,score\n8,1\n8,0\n16,1\n16,\n"))
    scores = [(step, [row.score for row in rows]) for step, rows in read.boundaries()]
    assert scores == [(8, [1.0, 0.0]), (16, [1.0, None])]


def test_a_byte_order_mark_blank_lines_and_quotes_are_understood(tmp_path: Path) -> None:
    read = read_csv(trace(tmp_path, b'\xef\xbb\xbf"step","score"\r\n"1","0.5"\r\n\r\n2,1e0\r\n'))
    assert columns(read)[:2] == ([1, 2], [0.5, 1.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "trace.csv: is empty"),
        ("step,score\n", "trace.csv: has a header and no rows"),
        ("time,score\n1,2\n", "trace.csv:1: no column looks like a step; it has time, score"),
        ("step,loss\n1,2\n", "--score-column NAME"),
        ("step,score\n1,nan\n", "trace.csv:2: score is nan, not a finite number"),
        ("step,score\n1,0\n2,inf\n", "trace.csv:3: score is inf"),
        ("step,score\n1,1e400\n", "not a finite number"),
        ("step,score\n1,good\n", "trace.csv:2: score is 'good', which is no number"),
        ("step,score\n1.5,1\n", "a step is a whole number"),
        ("step,score\n-1,1\n", "a step is a whole number"),
        ("step,score\n5,1\n4,1\n", "trace.csv:3: step goes back from 5 to 4"),
        ("step,score\n1,1\n2\n", "trace.csv:3: has 1 values, the header has 2 columns"),
        ("step,score\n1,1,1\n", "trace.csv:2: has 3 values, the header has 2 columns"),
        (b"step,score\n1,\xff\xfe\n", "not a text file"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a text file"),
        ("step,score\n1,1\x00\n", "not a text file (byte 14 is zero)"),
    ],
)
def test_bad_input_is_one_clear_error(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(TraceError) as caught:
        read_csv(trace(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="has no column 'scroe'; did you mean 'score'"):
        read_csv(trace(tmp_path, "step,score\n1,1\n"), Columns(score="scroe"))


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="no such file"):
        read_csv(tmp_path / "none.csv")
    with pytest.raises(TraceError, match="this folder has no events"):
        read_csv(tmp_path)


def test_a_run_is_written_with_a_row_an_episode_and_one_for_the_stage_that_a_transition_enters() -> None:
    events = [
        {"event": "run_created", "stages": [{"name": "a"}, {"name": "b"}], "step": 0},
        {"event": "episodes", "step": 10, "scores": [[0, 1.0], [0, 0.1 + 0.2]]},
        {"event": "stage_transition", "step": 20, "to_stage": 1},
        {"event": "episodes", "step": 30, "scores": [[0, 0.0], [1, 1.0]]},
        {"event": "curriculum_ended", "step": 30, "stage": 1},
    ]
    out = io.BytesIO()
    write_trace(trace_of_events("", events), out)
    assert (
        out.getvalue().decode()
        == "step,stage,score\n0,a,\n10,a,1.0\n10,a,0.30000000000000004\n20,b,\n30,a,0.0\n30,b,1.0\n"
    )
