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
    parts = [line for label, texts in _details(plan) for line in labelled(label, [(t, "") for t in texts], width)]
    facts = [line for label, text in _facts(plan) for line in labelled(label, [(text, "")], width)]
    return joined([*head, Text(), *_stages(plan, width), *([Text(), *parts] if parts else []), Text(), *facts])


def plan_text(plan: Plan) -> str:
    """The same for a pipe: complete lines."""
    facts = [("recipe", clean(plan["recipe"])), ("backend", clean(plan["backend"])), *_facts(plan)]
    facts += [(label, "; ".join(texts)) for label, texts in _details(plan)]
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
    """A row a stage, and under a group's a row a member."""
    rows = []
    for stage in plan["stages"]:
        rows.append((f"{stage['index'] + 1} {clean(stage['name'])}", *_cells(stage)))
        rows += [(f"  {clean(member['name'])}", *_cells(member)) for member in stage.get("members", ())]
    return rows


def _cells(stage: Mapping[str, Any]) -> tuple[str, str, str]:
    return clean(stage["curriculum"]), clean(stage["criterion"]), _limit(stage)


def _limit(stage: Mapping[str, Any]) -> str:
    if stage.get("max_steps") is None:
        return ""
    then = str(stage["on_timeout"])
    return f"{steps(stage['max_steps'])} steps, {TIMEOUTS.get(then) or f'then {clean(then)}'}"


def _facts(plan: Plan) -> list[tuple[str, str]]:
    budget = plan.get("total_timesteps")
    facts = [
        ("run", clean(plan["run"]) if plan.get("run") else "a new id"),
        ("begins in", _start(plan)),
        ("budget", "none; the training script ends" if budget is None else f"{budget:,} steps"),
        ("seed", clean(plan.get("seed"))),
        ("checkpoint", _checkpoints(plan)),
        ("command", clean(shlex.join(map(str, plan["command"])))),
        ("in", clean(plan["folder"])),
        ("imports", ", ".join(map(clean, plan["imports"])) or "nothing of yours"),
        ("trainer", _settings(plan.get("trainer") or {})),
        ("wandb", clean(plan["wandb"])),
    ]
    return [(label, text) for label, text in facts + _environments(plan) if text]


def _checkpoints(plan: Plan) -> str:
    every, kept = plan.get("checkpoint_every"), plan.get("keep_checkpoints")
    which = f"the newest {kept} are kept, and the first of each stage" if kept else "all are kept"
    return f"every {steps(every)} steps; {which}" if every else ""


def _start(plan: Plan) -> str:
    """The stage to begin in, where that is not the first."""
    first = plan["stages"][0]["name"]
    return clean(plan["start"]) if plan.get("start", first) != first else ""


def _environments(plan: Plan) -> list[tuple[str, str]]:
    """The environments' settings: once where all have the same, else one by one."""
    shown = []
    for stage in plan["stages"]:
        members = stage.get("members")
        labels = [clean(member["name"]) for member in members] if members else [str(stage["index"] + 1)]
        overrides = [played.get("env_overrides") or {} for played in members or [stage]]
        shown += [(f"env {label}", _settings(own)) for label, own in zip(labels, overrides, strict=True)]
    same = len({text for _, text in shown}) == 1
    return [("env", shown[0][1])] if same else shown


def _details(plan: Plan) -> list[tuple[str, list[str]]]:
    """What else each stage says, by its label; what all of them say together first."""
    told = [(f"stage {stage['index'] + 1}", _said(stage)) for stage in plan["stages"]]
    common = [text for text in told[0][1] if len(told) > 1 and all(text in texts for _, texts in told)]
    own = [(label, [text for text in texts if text not in common]) for label, texts in told]
    return [(label, texts) for label, texts in [("each stage", common), *own] if texts]


def _said(stage: Mapping[str, Any]) -> list[str]:
    trainer, entered, evaluate = stage.get("trainer"), stage.get("on_enter") or {}, stage.get("evaluate")
    members = {member["name"] for member in stage.get("members", ())}
    shares = [f"{clean(name)} {share}" for name, share in _in_percent(stage) if name in members]
    others = [f"{clean(name)} {share}" for name, share in _in_percent(stage) if name in stage.get("rehearse", ())]
    said = [
        f"plays {', '.join(shares)}" if shares else "",
        f"rehearses {', '.join(others)}" if others else "",
        f"entered at most {_times(stage['max_visits'])}" if stage.get("max_visits") else "",
        f"trainer {_settings(trainer)}" if trainer else "",
        f"on entry resets {', '.join(entered['reset'])}" if entered.get("reset") else "",
        f"warms up over {steps(entered['warmup_steps'])} steps" if entered.get("warmup_steps") else "",
        _evaluation(evaluate) if evaluate else "",
        *(_scores(stage) if not members else []),
        *(f"{clean(member['name'])}: {text}" for member in stage.get("members", ()) for text in _scores(member)),
    ]
    return [text for text in said if text]


def _in_percent(stage: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, f"{100 * share:.3g}%") for name, share in (stage.get("plays") or {}).items()]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _evaluation(evaluate: Mapping[str, Any]) -> str:
    earlier = ", earlier stages' too" if evaluate.get("earlier") else ""
    return f"every {steps(evaluate['every'])} steps {evaluate['episodes']} episodes evaluated{earlier}"


def _scores(stage: Mapping[str, Any]) -> list[str]:
    """How the score is made and smoothed, where it is not as usual."""
    score, smoothing = stage.get("score", "success"), stage.get("transition_smoothing", 0.1)
    usual = {"success": "", "return": "the score is the return"}
    scaled = f"the score is the return, {score['return'][0]:g} to {score['return'][1]:g}" if type(score) is dict else ""
    return [
        text
        for text in (
            scaled or usual.get(score, ""),
            f"smoothing {smoothing:g}" if smoothing != 0.1 else "",
            "average from zero" if stage.get("ema") == "zero_start" else "",
        )
        if text
    ]


def _settings(values: Mapping[str, Any]) -> str:
    return clean(", ".join(f"{key}={_value(value)}" for key, value in values.items()))


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and set(value) == {"from", "to", "over"}:
        return f"{value['from']:g} to {value['to']:g} over {steps(value['over'])} steps"
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
