"""Make README's pictures from a run of recipes/doorkey.yaml.

    python docs/make_pictures.py ~/.stagectl/runs/RUN_ID [--until SECONDS]

live.svg is what the live view showed SECONDS after the run began, or how it ended; timeline.svg is the replay of the
run's own trace with a lower threshold.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme

from stagectl.recipe import build_curriculum, load_recipe
from stagectl.runs import Liveness, RunPaths, RunStatus, read_events, read_liveness
from stagectl.simulate import replay
from stagectl.traces import read_csv, write_csv
from stagectl.view import run_panel, timeline_panel

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "img"
WIDTH = 88
LOWER = "curriculum.performance_threshold=0.6"
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
    options.add_argument("run", type=Path, help="the run's folder")
    options.add_argument("--until", type=float, help="seconds after the run began")
    chosen = options.parse_args()
    paths = RunPaths(chosen.run)
    save(live(paths, chosen.until), f"stagectl status {paths.run_id} --watch", FOLDER / "live.svg")
    save(timeline(paths), "stagectl simulate trace.csv --recipe recipes/doorkey.yaml …", FOLDER / "timeline.svg")


def live(paths: RunPaths, until: float | None) -> RenderableType:
    """The frame of a moment: the run's events folded up to then."""
    events = read_events(paths.events)
    began = next(event["time"] for event in events if event["event"] == "attempt_started")
    last = events[-1]["time"] if until is None else began + until
    status = RunStatus(paths.run_id)
    status.apply_all(event for event in events if event["time"] <= last)
    return run_panel(status, read_liveness(paths) if until is None else ALIVE, WIDTH, last)


def timeline(paths: RunPaths) -> RenderableType:
    """What the recipe with a lower threshold would have done on the run's trace."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.csv"
        with trace.open("w") as file:
            write_csv(read_events(paths.events), file)
        recipe = load_recipe(ROOT / "recipes" / "doorkey.yaml", [LOWER])
        return timeline_panel(replay(build_curriculum(recipe), read_csv(trace), recipe.trainer.total_timesteps), WIDTH)


def save(picture: RenderableType, title: str, out: Path) -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(picture)
    out.parent.mkdir(exist_ok=True)
    out.write_text(console.export_svg(title=title, theme=THEME))
    print(out)


if __name__ == "__main__":
    main()
