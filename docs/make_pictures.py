"""Make README's pictures from runs of recipes/doorkey.yaml with several seeds.

    python docs/make_pictures.py ~/.stagectl/runs/RUN_ID… [--until SECONDS]

live.svg is what the live view showed SECONDS after the first run began; timeline.svg is the replay of
all of them with a lower threshold; report.png and report-dark.png are the report of that, as Chromium shows it.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme

from stagectl.recipe import Recipe, load_recipe, write_resolved
from stagectl.runs import Liveness, RunPaths, RunStatus, read_events
from stagectl.simulate import Simulation, comparison_of, simulate
from stagectl.simulate.axes import read_axis
from stagectl.simulate.sweep import Sweep
from stagectl.simulate.variants import sweep_by_core
from stagectl.traces import Columns, Trace, read_traces
from stagectl.view import run_panel
from stagectl.view.report import simulation_report
from stagectl.view.simulation import simulation_panel

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "img"
RECIPE = "recipes/doorkey.yaml"
WIDTH = 88
LOWER = "curriculum.performance_threshold=0.6"
SWEPT = ("performance_threshold=0.5:0.9:0.05", "transition_smoothing=0.01,0.02,0.03,0.05,0.1,0.2")
PAGE = {"width": 1120, "height": 1010}
ALIVE = Liveness(job=True, trainer=True, suspended=False)


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour)
    return red, green, blue


THEME = TerminalTheme(
    (13, 17, 23),
    (201, 209, 217),
    [_rgb(c) for c in ["484f58", "ff7b72", "3fb950", "d29922", "58a6ff", "bc8cff", "39c5cf", "b1bac4"]],
    [_rgb(c) for c in ["6e7681", "ffa198", "56d364", "e3b341", "79c0ff", "d2a8ff", "56d4dd", "ffffff"]],
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("runs", type=Path, nargs="+", help="the runs' folders")
    options.add_argument("--until", type=float, help="seconds after the first run began; without it live.svg stays")
    chosen = options.parse_args()
    first = RunPaths(chosen.runs[0])
    if chosen.until is not None:
        save(live(first, chosen.until), f"stagectl status {first.run_id} --watch", FOLDER / "live.svg")
    traces = read_traces([str(RunPaths(run).events) for run in chosen.runs], Columns())
    recipe = load_recipe(ROOT / RECIPE, [LOWER])
    told = simulate(traces, recipe, file=RECIPE)
    save(
        simulation_panel(told, WIDTH), f"stagectl simulate doorkey-* --recipe {RECIPE} {LOWER}", FOLDER / "timeline.svg"
    )
    report(told, recipe, sweep(traces, recipe))


def live(paths: RunPaths, until: float) -> RenderableType:
    """The frame of a moment: the run's events folded up to then."""
    events = read_events(paths.events)
    now = until + next(event["time"] for event in events if event["event"] == "attempt_started")
    status = RunStatus(paths.run_id)
    for event in events:
        if event["time"] <= now:
            status.apply(event)
    return run_panel(status, ALIVE, WIDTH, now)


def sweep(traces: Sequence[Trace], recipe: Recipe) -> Sweep:
    return sweep_by_core(recipe, traces, [read_axis(axis) for axis in SWEPT])


def report(told: Simulation, recipe: Recipe, swept: Sweep) -> None:
    """The top of the page in both colours, with the pointer in the chart."""
    page = simulation_report(comparison_of([told]), [(RECIPE, write_resolved(recipe))], swept)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "report.html"
        file.write_text(page)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme, name in (("light", "report.png"), ("dark", "report-dark.png")):
            tab = browser.new_page(viewport=PAGE, color_scheme=scheme)
            tab.goto(file.as_uri())
            box = tab.locator(".drawing").bounding_box()
            tab.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 190)
            tab.screenshot(path=FOLDER / name)
            print(FOLDER / name)
        browser.close()


def save(picture: RenderableType, title: str, out: Path) -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(picture)
    out.parent.mkdir(exist_ok=True)
    out.write_text(console.export_svg(title=title, theme=THEME))
    print(out)


if __name__ == "__main__":
    main()
