"""W&B's recordings: files that the real package writes, and answers of its API from a server of ours (a fake)."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from stagectl.errors import TraceError
from stagectl.traces import Columns, read_traces

pytest.importorskip("wandb")

LOG = """
import json, sys, wandb
run = wandb.init(mode="offline", project="p", id=sys.argv[1], dir=sys.argv[2], settings=wandb.Settings(silent=True))
for row in json.loads(sys.argv[3]):
    run.log(row)
run.finish()
"""


def log(folder: Path, run: str, rows: list[dict[str, Any]]) -> Path:
    """A run that the real package logs offline; its folder."""
    folder.mkdir(exist_ok=True)
    before = set((folder / "wandb").glob("offline-run-*")) if (folder / "wandb").exists() else set()
    told = json.dumps(rows)
    subprocess.run([sys.executable, "-c", LOG, run, folder, told], check=True, capture_output=True, timeout=120)
    (made,) = set((folder / "wandb").glob("offline-run-*")) - before
    return made


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows: list[dict[str, Any]] = []
    for step in range(100, 1001, 100):
        rows.append({"global_step": step, "success": 0.1 + 0.2, "curriculum/stage_name": "nav"})
        rows.append({"global_step": step, "losses": {"value": step / 7}})
    rows.append({"loss": 1.0})
    return log(tmp_path_factory.mktemp("wandb"), "one", rows)


def test_an_offline_run_is_read_from_its_folder_or_file_with_its_sparse_rows(offline: Path) -> None:
    columns = Columns(metrics=frozenset({"losses.value"}))
    for source in (offline, next(offline.glob("*.wandb"))):
        (trace,) = read_traces([str(source)], columns)
        assert not any("no end" in note for note in trace.notes)
        scores = [(row.step, row.score, row.stage) for row in trace.rows() if row.score is not None]
        assert scores == [(step, 0.1 + 0.2, "nav") for step in range(100, 1001, 100)]
        assert [row.metrics["losses.value"] for row in trace.rows() if row.metrics] == [
            s / 7 for s in range(100, 1001, 100)
        ]
        assert "10 of 20 rows have success" in trace.notes


def test_a_file_that_is_cut_short_is_read_up_to_there_and_said(offline: Path, tmp_path: Path) -> None:
    whole = next(offline.glob("*.wandb")).read_bytes()
    cut = tmp_path / "run.wandb"
    lengths = set()
    for size in range(len(whole) // 2, len(whole) - 100, 97):
        cut.write_bytes(whole[:size])
        with contextlib.suppress(TraceError):  # nothing that was logged is whole
            (trace,) = read_traces([str(cut)])
            assert any("has no end" in note for note in trace.notes)
            lengths.add(len(trace))
    assert len(lengths) > 1


@pytest.mark.parametrize("content", [b"", b"no file of wandb's at all", b":W&B"])
def test_what_is_no_file_of_wandbs_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.wandb").write_bytes(content)
    with pytest.raises(TraceError, match="no file of wandb's"):
        read_traces([str(tmp_path / "run.wandb")])


def test_the_offline_runs_of_one_id_are_its_attempts(tmp_path: Path) -> None:
    first = log(tmp_path / "a", "same", [{"global_step": step, "success": 0.0} for step in (10, 20, 30, 40)])
    second = log(tmp_path / "b", "same", [{"global_step": step, "success": 1.0} for step in (25, 35)])
    shutil.copytree(first, tmp_path / "all" / "offline-run-1-same")
    shutil.copytree(second, tmp_path / "all" / "offline-run-2-same")
    (trace,) = read_traces([str(tmp_path / "all")])
    assert [(row.step, row.score) for row in trace.rows()] == [(10, 0.0), (20, 0.0), (25, 1.0), (35, 1.0)]
    assert any("2 rows left out" in note for note in trace.notes)


def test_values_that_are_no_finite_numbers_are_left_out_and_counted(tmp_path: Path) -> None:
    made = log(tmp_path, "odd", [{"global_step": 1, "success": 1.0}, {"global_step": 2, "success": float("nan")}])
    (trace,) = read_traces([str(made)])
    assert [row.score for row in trace.rows()] == [1.0, None]
    assert "1 value of success left out: not finite" in trace.notes


# ── the API, of which the server is a fake ──────────────────────────────────────────────────────────────────────


HISTORY = [{"_step": step, "global_step": 10 * step, "success": 0.5} for step in range(25_000)]


class Fake(BaseHTTPRequestHandler):
    """As much of W&B's GraphQL as reading a run's history asks for."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = self.answer(body["query"], body.get("variables") or {})
        raw = json.dumps({"data": told}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "history(" in query:
            rows = HISTORY[variables["minStep"] : variables["maxStep"]]
            assert len(rows) <= variables["pageSize"]  # more would be thinned out
            return {"project": {"run": {"history": [json.dumps(row) for row in rows]}}}
        if "viewer" in query:
            return {
                "viewer": {"id": "u", "entity": "entity", "username": "u", "email": "", "flags": "{}", "teams": None}
            }
        if "RunHistoryKeys" in query:
            return {"project": {"run": {"historyKeys": {"lastStep": len(HISTORY) - 1}}}}
        if variables.get("name") == "missing":
            return {"project": {"run": None}}
        run = {
            "id": "x",
            "name": "r",
            "displayName": "r",
            "state": "finished",
            "config": "{}",
            "tags": [],
            "group": None,
        }
        run |= {"createdAt": "2026-01-01T00:00:00", "heartbeatAt": "2026-01-01T00:00:00", "systemMetrics": "{}"}
        run |= {"summaryMetrics": "{}", "jobType": None, "commit": None, "readOnly": True, "sweepName": None}
        run |= {
            "description": "",
            "notes": "",
            "historyLineCount": len(HISTORY),
            "user": {"name": "u", "username": "u"},
        }
        return {"project": {"internalId": "1", "run": run | {"projectId": "1", "historyKeys": {"lastStep": 1}}}}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def fake_api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_runs_whole_history_is_read_through_the_api(fake_api: None) -> None:
    (trace,) = read_traces(["wandb://entity/project/r"])
    assert len(trace) == len(HISTORY)
    assert trace.steps[-1] == 249_990
    assert trace.name == "wandb://entity/project/r"


def test_a_run_that_is_not_there_is_one_clear_error(fake_api: None) -> None:
    with pytest.raises(TraceError, match="W&B does not give it"):
        read_traces(["wandb://entity/project/missing"])


def test_a_server_that_cannot_be_reached_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with pytest.raises(TraceError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        read_traces(["wandb://entity/project/r"])


def test_an_address_that_names_no_run_is_said() -> None:
    with pytest.raises(TraceError, match="names no run"):
        read_traces(["wandb://entity/project"])
