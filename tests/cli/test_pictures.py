"""`simulate --report` and `--plot`: beside what is printed, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stagectl.cli import run_command

RECIPE = "curriculum: {stages: [a, b], min_episodes: 2, transition_smoothing: 0.5, performance_threshold: %s}\n"


@pytest.fixture
def traces(tmp_path: Path) -> list[str]:
    files = []
    for seed in range(3):
        file = tmp_path / f"seed-{seed}.csv"
        rows = [f"{step},{int(step > 40 + 10 * seed)}" for step in range(10, 400, 10)]
        file.write_text("\n".join(["step,score", *rows]) + "\n")
        files.append(str(file))
    for name, threshold in (("low", 0.5), ("high", 0.9)):
        (tmp_path / f"{name}.yaml").write_text(RECIPE % threshold)
    return files


def test_a_report_and_a_plot_are_written_beside_what_is_printed(
    traces: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, plot, recipe = tmp_path / "page.html", tmp_path / "plot.svg", tmp_path / "low.yaml"
    wanted = ["--recipe", str(recipe), "--report", str(page), "--plot", str(plot), "-o", "json"]
    assert run_command(["simulate", *traces, *wanted, "curriculum.performance_threshold=0.7"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["recipe"] == str(recipe)
    assert err.count("wrote ") == 2
    assert "would have been left" in page.read_text()
    assert "performance_threshold: 0.7" in page.read_text()  # the recipe as it was replayed
    assert plot.read_text().startswith("<?xml")


def test_a_comparison_and_a_sweep_have_a_report(traces: list[str], tmp_path: Path) -> None:
    page, low, high = tmp_path / "page.html", str(tmp_path / "low.yaml"), str(tmp_path / "high.yaml")
    assert run_command(["simulate", *traces, "--recipe", low, "--recipe", high, "--report", str(page)]) == 0
    assert "steps later than" in page.read_text()
    swept = ["--sweep", "performance_threshold=0.5,0.7", "--sweep", "transition_smoothing=0.1,0.5"]
    assert run_command(["simulate", *traces, "--recipe", low, *swept, "--report", str(page)]) == 0
    assert 'class="heat"' in page.read_text()


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (["--plot", "plot.docx"], "plot.docx: a plot is written as .svg, .png, .pdf"),
        (
            ["--recipe", "low.yaml", "--recipe", "high.yaml", "--plot", "a.svg"],
            "--plot is of one recipe, and there are 2",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_replayed(
    wanted: list[str],
    says: str,
    traces: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert run_command(["simulate", *traces, *wanted]) == 2
    assert says in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_without_matplotlib_the_extra_is_named(
    traces: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stagectl.view.plot.find_spec", lambda name: None)
    assert run_command(["simulate", *traces, "--plot", "plot.svg"]) == 2
    assert "pip install 'stagectl[simulate]'" in capsys.readouterr().err
