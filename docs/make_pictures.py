"""Make docs/img/live.svg from a run: python docs/make_pictures.py ~/.stagectl/runs/RUN_ID [--until SECONDS]

The frame is what the live view showed SECONDS after the run began; without it, how the run ended.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme

from stagectl.runs import Liveness, RunPaths, RunStatus, read_events, read_liveness
from stagectl.view import run_panel

OUT = Path(__file__).parent / "img" / "live.svg"
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
    options.add_argument("--width", type=int, default=88)
    options.add_argument("--out", type=Path, default=OUT)
    chosen = options.parse_args()
    picture(RunPaths(chosen.run), chosen.until, chosen.width, chosen.out)


def picture(paths: RunPaths, until: float | None, width: int, out: Path) -> None:
    """Fold the run's events up to a moment, and write the frame of that moment as SVG."""
    events = read_events(paths.events)
    began = next(event["time"] for event in events if event["event"] == "attempt_started")
    last = events[-1]["time"] if until is None else began + until
    status = RunStatus(paths.run_id)
    status.apply_all(event for event in events if event["time"] <= last)
    alive = read_liveness(paths) if until is None else ALIVE
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(run_panel(status, alive, width, last))
    out.parent.mkdir(exist_ok=True)
    out.write_text(console.export_svg(title=f"stagectl status {paths.run_id} --watch", theme=THEME))
    print(out)


if __name__ == "__main__":
    main()
