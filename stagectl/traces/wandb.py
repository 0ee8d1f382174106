"""Weights & Biases: the files of offline runs, and finished or running ones through its API."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stagectl.errors import TraceError
from stagectl.traces.columns import ATTEMPT
from stagectl.traces.recorded import recorded_table
from stagectl.traces.table import Table

ONLINE = "wandb://"
_EXTRA = "pip install 'stagectl[train]'"
_TIMEOUT = 30  # seconds that one answer may take
_PAGE = 10_000  # steps a request: there is at most a row a step, so that none is left out by sampling


def offline_tables(name: str, files: Sequence[Path]) -> list[Table]:
    """A table a run: the files of one run's id are its attempts, in their order.

    Raises:
        TraceError: A file is none of wandb's, or wandb is not installed.
    """
    runs: dict[str, list[tuple[Path, _Read]]] = {}
    for file in sorted(files, key=lambda file: (file.parent.name, file.name)):
        read = _Read(file)
        runs.setdefault(read.run_id or str(file), []).append((file, read))
    tables = []
    for run, parts in runs.items():
        called = name if len(runs) == 1 else f"{name} {run}"
        rows = [
            row | ({ATTEMPT: attempt} if len(parts) > 1 else {})
            for attempt, (_, read) in enumerate(parts)
            for row in read.rows
        ]
        notes = [
            f"{file.name}: has no end: still running, killed or cut short" for file, read in parts if not read.has_end
        ]
        if not rows:
            raise TraceError(f"{called}: this run logged nothing", hint=notes[0] if notes else "")
        tables.append(recorded_table(called, rows, notes))
    return tables


class _Read:
    """One `.wandb` file, up to where it is whole; a run that ended has said so in its file."""

    def __init__(self, file: Path) -> None:
        self.rows: list[dict[str, Any]] = []
        self.run_id = ""
        self.has_end = False
        for record in self._records(file):
            match record.WhichOneof("record_type"):
                case "run":
                    self.run_id = record.run.run_id
                case "history":
                    items = record.history.item
                    row = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
                    self.rows.append(row)
                case "exit":
                    self.has_end = True

    def _records(self, file: Path) -> Iterator[Any]:
        try:
            from google.protobuf.message import DecodeError
            from wandb.proto.wandb_internal_pb2 import Record
            from wandb.sdk.internal.datastore import DataStore
        except ImportError:
            raise TraceError(f"{file}: reading it needs the package wandb", hint=_EXTRA) from None
        store = DataStore()
        with _writable(file) as path:
            try:
                store.open_for_scan(str(path))
            except OSError as error:
                raise TraceError(f"{file}: cannot be read: {error.strerror}") from None
            except Exception:  # wandb raises no finer one
                store.close()
                raise TraceError(f"{file}: this is no file of wandb's, or one that was never begun") from None
            try:
                while (data := store.scan_data()) is not None:
                    record = Record()
                    record.ParseFromString(data)
                    yield record
            except (AssertionError, IndexError, DecodeError):  # what wandb's reader meets at a torn or damaged record
                self.has_end = False
            finally:
                store.close()


@contextmanager
def _writable(file: Path) -> Iterator[Path]:
    """The file itself, or where it cannot be written a copy: wandb's reader opens it for both."""
    if os.access(file, os.W_OK):
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield Path(shutil.copy(file, folder))
        except OSError as error:
            raise TraceError(f"{file}: cannot be read: {error.strerror}") from None


def online_table(source: str) -> Table:
    """The whole history of `wandb://entity/project/run`, as the server has it now.

    Raises:
        TraceError: The address names no run, W&B cannot be reached or refuses, or wandb is not installed.
    """
    path = source.removeprefix(ONLINE).strip("/")
    if path.count("/") != 2:
        raise TraceError(f"{source}: names no run", hint=f"{ONLINE}ENTITY/PROJECT/RUN, as in the address of its page")
    try:
        import requests
        import wandb
        from wandb.apis import InternalApi
    except ImportError:
        raise TraceError(f"{source}: reading it needs the package wandb", hint=_EXTRA) from None
    server = InternalApi().settings("base_url")
    try:
        requests.head(server, timeout=_TIMEOUT)  # wandb would try for minutes
        rows = list(wandb.Api(timeout=_TIMEOUT).run(path).scan_history(page_size=_PAGE))
    except wandb.errors.UsageError:
        raise TraceError(f"{source}: no key for W&B", hint="wandb login, or set WANDB_API_KEY") from None
    except requests.RequestException as error:
        raise TraceError(f"{source}: {server} cannot be reached ({type(error).__name__})") from None
    except (wandb.errors.Error, ValueError, TypeError, KeyError, OSError) as error:
        reason = " ".join(str(error).split())
        hint = "is its address right, and may you read it? wandb login"
        raise TraceError(f"{source}: W&B does not give it: {reason}", hint=hint) from None
    if not rows:
        raise TraceError(f"{source}: this run logged nothing")
    return recorded_table(source, rows)
