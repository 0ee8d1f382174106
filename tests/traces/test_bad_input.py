"""Whatever a file holds: a trace, or one clear line with its place. Never a traceback, never much memory."""

from __future__ import annotations

import gzip
import io
import resource
import struct
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stagectl.errors import StagectlError, TraceError
from stagectl.traces import Columns, read_traces


def fault(tmp_path: Path, name: str, content: bytes | str, columns: Columns = Columns()) -> str:  # noqa: B008
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TraceError) as caught:
        read_traces([str(file)], columns)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def parquet(frame: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.write_parquet(out, statistics=False)
    return out.getvalue()


TABLE = pl.DataFrame({"step": range(1000), "score": [step / 7 for step in range(1000)]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "step,score\n1,0.5\n2;1\n3,4\n",
            "t.csv:3: has 1 values, the header has 2 columns (the header is separated by ','",
        ),
        ("step,score\n1,2\n\n2,3\n4,x\n", "t.csv:5: score is 'x'"),
        ('step,note,score\n1,"two\nlines",2\n4,n,x\n', "t.csv:4: score is 'x'"),
        ("step,score\n1,2\n,3\n", "t.csv:3: step is empty"),
        ("step,score,score\n1,2,3\n", "t.csv:1: has 2 columns named 'score'"),
        ("step,score\n1,one\n2,two\n", "t.csv:2: score is 'one', which is no number"),
        ("step;score\n1;0,5\n2;0.5.1\n", "t.csv:3: score is '0.5.1'"),
        ("step,score\n99999999999999999999,1\n", "a step is a whole number"),
        ("step,visit,score\n1,0.5,1\n", "t.csv:2: visit is '0.5'; a visit is a whole number"),
        ("metric,step,value\nloss,1,2\n", "t.csv:1: no metric looks like a score; it has loss"),
        ("step,seed,score\n1,a,1\n2,a,1\n1,b,1\n2,b,nan\n", "t.csv:5: score is nan"),
    ],
)
def test_a_fault_in_csv_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in fault(tmp_path, "t.csv", text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"step": 1, "score": 1}\n{"step": 2, "sco', "t.jsonl:2: this line is no JSON: Unterminated string"),
        ('{"step": 1, "score": 1}\n[1, 2]\n', "t.jsonl:2: this line is no object"),
        ('{"step": 1, "score": 1}\n\n{"step": 2, "score": "x"}\n', "t.jsonl:3: score is 'x', which is no number"),
        ('{"step": 1, "score": {"a": 1}}\n', "score holds Struct"),
        ('{"step": 1, "score": NaN}\n', "t.jsonl:1: score is nan"),
        ('{"loss": 1}\n', "no column looks like a step; it has loss"),
        ('{"step": 1, "score": ' + "[" * 100_000 + "\n", "t.jsonl:1: this line is"),
    ],
)
def test_a_fault_in_jsonl_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in fault(tmp_path, "t.jsonl", text)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"step": [1, 2], "score": ["a", "b"]}), "t.parquet, row 1: score is 'a', which is no number"),
        (
            pl.DataFrame({"step": [1.0, 2.5], "score": [0.0, 1.0]}),
            "t.parquet, row 2: step is 2.5; a step is a whole number",
        ),
        (pl.DataFrame({"step": [1, 2], "score": [0.0, float("inf")]}), "t.parquet, row 2: score is inf"),
        (pl.DataFrame({"step": [1, None], "score": [0.0, 1.0]}), "t.parquet, row 2: step is empty"),
        (pl.DataFrame({"step": [1], "score": [[1.0]]}), "score holds List(Float64), no numbers"),
        (pl.DataFrame({"step": [], "score": []}), "has a header and no rows"),
    ],
)
def test_a_fault_in_parquet_is_told_with_its_row(tmp_path: Path, frame: pl.DataFrame, message: str) -> None:
    assert message in fault(tmp_path, "t.parquet", parquet(frame))


def test_packed_data_that_are_cut_short_are_said(tmp_path: Path) -> None:
    text = TABLE.write_csv().encode()
    packed = gzip.compress(text)
    assert "its gzip data are cut short" in fault(tmp_path, "t.csv.gz", packed[: len(packed) // 2])
    packed = subprocess.run(["zstd", "-c"], input=text, capture_output=True, check=True).stdout
    assert "its zstd data are cut short" in fault(tmp_path, "t.csv.zst", packed[: len(packed) // 2])


def test_a_parquet_file_that_is_cut_short_or_empty_is_said(tmp_path: Path) -> None:
    assert "no whole Parquet file" in fault(tmp_path, "t.parquet", parquet(TABLE)[:-100])
    assert "is empty" in fault(tmp_path, "empty.parquet", b"")


def declaring(rows: int) -> bytes:
    """A Parquet file of 1,000 rows whose footer tells of more."""
    raw = parquet(TABLE)
    (length,) = struct.unpack("<I", raw[-8:-4])
    footer = raw[-8 - length : -8].replace(varint(1000), varint(rows))
    return raw[: -8 - length] + footer + struct.pack("<I", len(footer)) + b"PAR1"


def varint(number: int) -> bytes:
    number, out = number << 1, b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


@pytest.mark.parametrize("rows", [10**8, 4 * 10**9, 10**10])
def test_a_footer_that_declares_gigabytes_is_refused_before_they_are_asked_for(tmp_path: Path, rows: int) -> None:
    said = fault(tmp_path, "t.parquet", declaring(rows))
    assert "declares 100,000,000 rows" in said or "rows" in said


def test_a_file_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "t.csv.gz"
    with gzip.open(bomb, "wb") as file:
        for _ in range(300):
            file.write(b"\n" * (1 << 20))
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from stagectl.errors import TraceError
from stagectl.traces import read_traces
try:
    read_traces([{str(bomb)!r}])
except TraceError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert "unpacks to more than 200 times its size" in done.stdout


SAMPLES = {
    "t.csv": TABLE.head(40).write_csv().encode(),
    "t.jsonl": TABLE.head(20).write_ndjson().encode(),
    "t.csv.gz": gzip.compress(TABLE.head(40).write_csv().encode()),
    "t.parquet": parquet(TABLE),
}


@pytest.mark.parametrize("name", SAMPLES)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damage_anywhere_is_a_trace_or_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    raw = bytearray(SAMPLES[name])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    file = tmp_path_factory.mktemp("damaged") / name
    file.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = ""
    try:
        read_traces([str(file)])
    except StagectlError as error:
        said = str(error)
    assert "\n" not in said
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB
