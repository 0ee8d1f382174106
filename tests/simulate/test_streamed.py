"""A large recording that is replayed while it is read: nothing is told otherwise than by reading it whole."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest

from stagectl.cli import run_command
from stagectl.errors import TraceError
from stagectl.recipe.model import recipe_from_data
from stagectl.simulate import simulate, simulate_streamed
from stagectl.traces import Columns, batches, parts_of, read_traces

STEADY = "step,score\n" + "".join(f"{10 * at},{at % 5 > 0:d}\n" for at in range(1, 2000))
RECORDINGS = {
    "plain": STEADY,
    "many rows a step": "step,score\n" + "".join(f"{at // 300 * 10},{at % 7 / 7!r}\n" for at in range(1, 2000)),
    "a long stretch without rows": STEADY + "".join(f"{at},1\n" for at in range(40_000, 42_000, 7)),
    "begun late": "step,score\n" + "".join(f"{at},1\n" for at in range(9000, 12_000, 2)),
    "returns": "step,score\n" + "".join(f"{at},{at % 50 - 3}\n" for at in range(2000)),
    "counts": "step,success_rate,count\n" + "".join(f"{at},{at % 4 / 4},{at % 3}\n" for at in range(2000)),
    "semicolons, comments, other columns": "# mine\nname;step;score\n"
    + "".join(f"x{at};{at};{at % 2 or ''}\n" for at in range(2000)),
    "words for numbers": "step,score\n" + "".join(f"{at}.0,{('true', 'False')[at % 2]}\n" for at in range(1, 2000)),
}


@pytest.fixture(autouse=True)
def _any_file_is_large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(batches, "LOOKED_THROUGH", 0)
    monkeypatch.setattr(batches, "PART_BYTES", 1000)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", RECORDINGS.values(), ids=RECORDINGS)
@pytest.mark.parametrize("budget", [None, 500])
def test_a_recording_gives_in_parts_what_it_gives_whole(text: str, budget: int | None) -> None:
    Path("t.csv").write_text(text)
    recipe = recipe_from_data(
        {"curriculum": {"stages": ["a", "b", "c"], "performance_threshold": 0.7}}
        | ({"trainer": {"total_timesteps": budget}} if budget else {}),
        name="r",
        folder=Path(),
    )
    columns = Columns(step_factor=2, score_range=(0.0, 1.5))
    found = parts_of("t.csv", columns)
    assert found is not None
    rows, parts = found
    assert 1000 < rows < 3000
    expected = simulate(read_traces(["t.csv"], columns), recipe, file="r.yaml")
    assert simulate_streamed(parts, recipe, file="r.yaml") == expected


def test_the_parts_are_whole_lines_and_all_of_them() -> None:
    Path("t.csv").write_text(STEADY.rstrip("\n"))
    found = parts_of("t.csv", Columns())
    assert found is not None
    parts = list(found[1])
    assert sum(map(len, parts)) == 1999
    assert len(parts) > 10
    assert all(one.steps[-1] + 10 == other.steps[0] for one, other in pairwise(parts))


@pytest.mark.parametrize(
    "header", ["step,stage,score", "step,run,score", "l,score", "metric,step,value", "a,b", "step"]
)
def test_what_must_be_seen_together_is_not_read_in_parts(header: str) -> None:
    Path("t.csv").write_text(header + "\n" + "1,1,1\n" * 9)
    assert parts_of("t.csv", Columns()) is None


def test_neither_is_what_is_packed_no_file_or_no_csv() -> None:
    Path("t.csv.gz").write_bytes(gzip.compress(STEADY.encode()))
    Path("t.jsonl").write_text('{"step": 1, "score": 1}\n')
    assert [parts_of(name, Columns()) for name in ("t.csv.gz", "t.jsonl", "-", "run-id", ".")] == [None] * 5


def test_nor_is_a_file_with_quotes_within_which_a_line_may_end() -> None:
    Path("t.csv").write_text(STEADY + '99999,"1"\n')
    found = parts_of("t.csv", Columns())
    assert found is not None
    with pytest.raises(TraceError, match="quotes"):
        list(found[1])


def output(capsys: pytest.CaptureFixture[str], *, in_parts: bool) -> tuple[int, str]:
    with patch.object(batches, "LOOKED_THROUGH", 0 if in_parts else 1 << 30):
        code = run_command(["simulate", "t.csv", "-o", "json"])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("99999,x\n", "t.csv:2001: score is 'x', which is no number"),
        ("x,1\n", "t.csv:2001: step is 'x', which is no number"),
        ("99999\n", "t.csv:2001: has 1 values, the header has 2 columns"),
        ("99999,inf\n", "t.csv:2001: score is inf, not a finite number"),
        ("-1,1\n", "t.csv:2001: step is -1; a step is a whole number, zero or more"),
        ("0,1\n", "t.csv:2001: step goes back from 19990 to 0"),
    ],
)
def test_a_fault_far_behind_the_replays_end_is_told_with_its_line(
    capsys: pytest.CaptureFixture[str], more: str, message: str
) -> None:
    Path("t.csv").write_text(STEADY + more)
    code, told = output(capsys, in_parts=True)
    assert (code, json.loads(told)["error"]["message"]) == (2, message)
    assert output(capsys, in_parts=False) == (2, told)


@pytest.mark.parametrize("more", ["", "15000,1\n20000,1\n", '99999,"1"\n', "99999,\n"])
def test_the_command_tells_the_same(capsys: pytest.CaptureFixture[str], more: str) -> None:
    """Rows of a second attempt, or quotes, have the file read as a whole."""
    Path("t.csv").write_text(STEADY + more)
    told = output(capsys, in_parts=True)
    assert told[0] == 0
    assert output(capsys, in_parts=False) == told


def test_a_recording_without_scores_is_refused_as_whole(capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("step,score\n" + "".join(f"{at},\n" for at in range(500)))
    code, told = output(capsys, in_parts=True)
    assert code == 2
    assert "t.csv: has no score" in told
    assert output(capsys, in_parts=False) == (2, told)
