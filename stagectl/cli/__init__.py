"""The command line. Each command is a file: it parses, calls, prints, and decides nothing."""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
import traceback

import typer
from typer.exceptions import TyperException

from stagectl import __version__
from stagectl.cli import (
    advance,
    export,
    list_runs,
    logs,
    remove,
    report,
    run,
    simulate,
    status,
    stop,
    suggest,
    validate,
)
from stagectl.errors import StagectlError, StorageError, UsageError

HELP = """Staged reinforcement learning as one run: launch it, watch its stages, replay its transitions.

Exit codes: 0 fine · 1 the job failed · 2 usage, recipe or trace · 3 declined or timed out · 4 no such run ·
5 back end unreachable · 6 locked or already there · 7 damage found · 8 input or output error ·
70 a bug in stagectl · 130 interrupted.
"""
BUG = 70

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
app.command("run")(run.command)
app.command("status")(status.command)
app.command("simulate")(simulate.command)
app.command("suggest")(suggest.command)
app.command("report")(report.command)
app.command("list")(list_runs.command)
app.command("logs")(logs.command)
app.command("stop")(stop.command)
app.command("advance")(advance.command)
app.command("rm")(remove.command)
app.command("export")(export.command)
app.command("validate")(validate.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"stagectl {__version__}\n")
        raise typer.Exit


@app.callback(help=HELP)
def root(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    """Options that stand before the command."""


def main() -> None:
    """The `stagectl` command: an error is one line on standard error, or JSON where `-o json` asked for it."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Carry out one command line; the exit code. Without a command the help is shown."""
    try:
        code = app(arguments or ["--help"], prog_name="stagectl", standalone_mode=False)
    except TyperException as error:
        message = getattr(error, "format_message", error.__str__)()
        plain = " ".join(message.replace("Value error, ", "").split())  # pydantic's words within typer's
        context = getattr(error, "ctx", None)
        _report(UsageError(plain, hint=f"{context.command_path if context else 'stagectl'} --help"), arguments)
        return 2
    except StagectlError as error:
        _report(error, arguments)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader of our output went away, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        _report(StorageError(f"{error.filename or 'the disk'}: {error.strerror or error}"), arguments)
        return StorageError.exit_code
    except Exception:
        return _report_bug(arguments)
    if not arguments:
        return UsageError.exit_code
    return code if isinstance(code, int) else 0


def _report(error: StagectlError, arguments: list[str]) -> None:
    sys.stdout.flush()
    if _wants_json(arguments):
        data = {"error": {"kind": error.kind, "message": error.message, "hint": error.hint}}
        sys.stdout.write(json.dumps(data) + "\n")
        return
    for line in error.message.splitlines():
        sys.stderr.write(f"error: {line}\n")
    if error.hint:
        sys.stderr.write(f"  → {error.hint}\n")


def _report_bug(arguments: list[str]) -> int:
    """What no user can cause: kept in a file for its report, and said in one line."""
    with tempfile.NamedTemporaryFile("w", prefix="stagectl-bug-", suffix=".txt", delete=False) as file:
        file.write(f"stagectl {__version__}: {arguments}\n{traceback.format_exc()}")
    _report(StagectlError("this is a bug in stagectl", hint=f"please report it with {file.name}"), arguments)
    return BUG


def _wants_json(arguments: list[str]) -> bool:
    formats = ("json", "jsonl")
    pairs = itertools.pairwise(arguments)
    joined = {f"--output={kind}" for kind in formats} | {f"-o{kind}" for kind in formats}
    return any(a in ("-o", "--output") and b in formats for a, b in pairs) or bool(joined & set(arguments))
