"""The command line is a contract: a new option, or one that goes, shows here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stagectl.cli import app, run_command

SURFACE = {
    "run": (
        "RECIPE KEY=VALUE --from --only --detach --dry-run --resume --accept-recipe-change --gpus --nodes --cpus "
        "--spot --no-spot --timeout-hours --git-ref --skip-git-check --copies --confirm --yes --output --progress"
    ),
    "status": "RUN_ID --watch --output --progress",
    "simulate": (
        "TRACE KEY=VALUE --recipe --stages --as-recorded --sweep --rank --window --explain --price --steps-per-second "
        "--step-column --score-column --stage-column --run-column --count-column --steps-per-row --step-factor "
        "--score-range --output --plot --report"
    ),
    "suggest": (
        "TRACE KEY=VALUE --recipe --as-recorded --window --step-column --score-column --stage-column --run-column "
        "--count-column --steps-per-row --step-factor --score-range --output"
    ),
    "report": "RUN_ID --to",
    "list": "-n --output",
    "logs": "RUN_ID --follow --lines",
    "stop": "RUN_ID --grace",
    "advance": "RUN_ID --to",
    "rm": "RUN_ID",
    "export": "RUN_ID --to",
    "validate": "RECIPE KEY=VALUE --import",
}

HEAVY = {"torch", "wandb", "sky", "numpy", "gymnasium", "polars", "hydra", "omegaconf"}


def test_a_wrong_command_line_is_answered_with_that_commands_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["export", "mine", "trace.csv"]) == 2
    assert "stagectl export --help" in capsys.readouterr().err
    assert run_command(["frobnicate"]) == 2
    assert capsys.readouterr().err.endswith("→ stagectl --help\n")


def test_the_commands_are_those() -> None:
    assert [info.name for info in app.registered_commands] == list(SURFACE)


@pytest.mark.parametrize("command", SURFACE)
def test_a_commands_arguments_and_options_are_those(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert [word for word in SURFACE[command].split() if word not in shown] == []
    options = {word.rstrip(",") for word in shown.split() if word.startswith("--") and len(word) > 2}
    assert options - {"--help"} <= set(SURFACE[command].split()) | {"--watch.", "--recipe", "--resume:"}


def test_help_and_status_import_no_heavy_library() -> None:
    for arguments in (["--help"], ["list"], ["status"], ["simulate", "--help"]):
        code = (
            f"import sys; from stagectl.cli import run_command; run_command({arguments!r})\n"
            f"heavy = {HEAVY} & set(sys.modules)\n"
            "sys.exit(f'imported {heavy}' if heavy else 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["rnu"], 2, "Did you mean 'run'?"),
        (["run"], 2, "Missing argument 'RECIPE'"),
        (["run", "nowhere.yaml"], 2, "nowhere.yaml: no such file"),
        (["status", "latest", "--wach"], 2, "No such option: --wach"),
        (["status", "--watch"], 2, "--watch needs a run"),
        (["status", "none"], 4, "there is no run 'none'"),
        (["simulate", "nowhere.csv"], 2, "nowhere.csv: no such file"),
        (["simulate", "t.csv", "trainer.seed=1"], 2, "overrides a recipe, and there is none"),
        (["logs", "latest", "-n", "-1"], 2, "'-n' / '--lines'"),
    ],
)
def test_a_mistake_is_one_line_with_the_documented_exit_code(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert len(shown.err.splitlines()) <= 2


def test_without_a_command_the_help_is_shown_and_the_exit_code_is_that_of_a_mistake(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command([]) == 2
    alone = capsys.readouterr()
    assert run_command(["--help"]) == 0
    assert alone == capsys.readouterr()
    assert "Launch a recipe as one run" in alone.out


def test_what_no_user_can_cause_is_told_as_a_bug_with_its_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr("stagectl.runs.list_runs", broken)
    assert run_command(["list"]) == 70
    shown = capsys.readouterr().err
    report = shown.split()[-1]
    assert "this is a bug in stagectl" in shown
    assert "RuntimeError: inside" in Path(report).read_text()
