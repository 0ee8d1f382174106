"""What `run --dry-run` shows of a plan: the stages, when each is left, and what would be started."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from rich.text import Text

from stagectl.view.grid import fits, grid
from stagectl.view.lines import DIM, aligned, joined, labelled, spread
from stagectl.view.words import NOTHING, TIMEOUTS, clean, steps

Plan = Mapping[str, Any]
HEADER = ("STAGE", "ENVIRONMENT", "LEAVES WHEN", "LIMIT")


def plan_panel(plan: Plan, width: int) -> Text:
    """The plan as a picture at most `width` cells wide."""
    title = Text.assemble(" ", (clean(plan["recipe"]), "bold"), ("  plan, nothing is started", DIM))
    head = [spread(title, Text(f"{clean(plan['backend'])} ", "cyan"), width)]
    facts = [line for label, text in _facts(plan) for line in labelled(label, [(text, "")], width)]
    return joined([*head, Text(), *_stages(plan, width), Text(), *facts])


def plan_text(plan: Plan) -> str:
    """The same for a pipe: complete lines."""
    facts = [("recipe", clean(plan["recipe"])), ("backend", clean(plan["backend"])), *_facts(plan)]
    head = "\n".join(f"{label:<12} {text}" for label, text in facts)
    return f"{head}\n\n{aligned(HEADER, [(*cells[:3], cells[3] or NOTHING) for cells in _rows(plan)])}"


def _stages(plan: Plan, width: int) -> list[Text]:
    """A table where it can be shown whole, else a few lines a stage."""
    rows = [[Text(cells[0], "bold"), Text(cells[1], DIM), Text(cells[2]), Text(cells[3])] for cells in _rows(plan)]
    header = HEADER if any(cells[3].plain for cells in rows) else HEADER[:3]
    if fits(header, rows, width):
        return list(grid(header, [cells[: len(header)] for cells in rows], width).split("\n"))
    label_width = min(max(row[0].cell_len for row in rows) + 2, width // 3)
    lines: list[Text] = []
    for name, *rest in rows:
        parts = [(cell.plain, str(cell.style)) for cell in rest if cell.plain]
        lines += labelled(name.plain, parts, width, label_width=label_width)
    return lines


def _rows(plan: Plan) -> list[tuple[str, str, str, str]]:
    return [
        (
            f"{stage['index'] + 1} {clean(stage['name'])}",
            clean(stage["curriculum"]),
            clean(stage["criterion"]),
            _limit(stage),
        )
        for stage in plan["stages"]
    ]


def _limit(stage: Mapping[str, Any]) -> str:
    if stage.get("max_steps") is None:
        return ""
    then = str(stage["on_timeout"])
    return f"{steps(stage['max_steps'])} steps, {TIMEOUTS.get(then) or f'then {clean(then)}'}"


def _facts(plan: Plan) -> list[tuple[str, str]]:
    budget = plan.get("total_timesteps")
    facts = [
        ("run", clean(plan["run"]) if plan.get("run") else "a new id"),
        ("budget", "none; the training script ends" if budget is None else f"{budget:,} steps"),
        ("seed", clean(plan.get("seed"))),
        ("command", clean(shlex.join(map(str, plan["command"])))),
        ("in", clean(plan["folder"])),
        ("imports", ", ".join(map(clean, plan["imports"])) or "nothing of yours"),
        ("trainer", _settings(plan.get("trainer") or {})),
        ("wandb", clean(plan["wandb"])),
    ]
    return [(label, text) for label, text in facts + _environments(plan) if text]


def _environments(plan: Plan) -> list[tuple[str, str]]:
    """The environments' settings: once where every stage has the same, else stage by stage."""
    shown = [_settings(stage.get("env_overrides") or {}) for stage in plan["stages"]]
    if len(set(shown)) == 1:
        return [("env", shown[0])]
    return [(f"env {number}", text) for number, text in enumerate(shown, 1)]


def _settings(values: Mapping[str, Any]) -> str:
    return clean(", ".join(f"{key}={_value(value)}" for key, value in values.items()))


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
