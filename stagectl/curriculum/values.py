"""The values of a `curriculum:` block, each read from what YAML gives; a wrong one is a ValueError with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stagectl.curriculum.fields import (
    flag,
    number,
    one_of,
    parse_number,
    plain_mapping,
    record,
    sequence,
    text,
    whole,
)
from stagectl.curriculum.parser import parse_condition
from stagectl.curriculum.stages import BelowBest, Demotion, Edge, Evaluation, OnEnter, Ramp, Score

RESETS = ("optimizer", "observation_stats", "return_stats")


def score(value: Any) -> Score:
    if isinstance(value, Mapping):
        if list(value) != ["return"]:
            raise ValueError("expected success, return, or {return: [low, high]}")
        bounds = sequence(value["return"])
        if len(bounds) != 2:
            raise ValueError("expected two returns, the one that scores 0 and the one that scores 1")
        low, high = map(parse_number, bounds)
        if not low < high:
            raise ValueError(f"the return that scores 0 ({low:g}) must be below the one that scores 1 ({high:g})")
        return Score("return", low, high)
    return Score(one_of("success", "return")(value))


def threshold(value: Any) -> float | Ramp | BelowBest:
    if not isinstance(value, Mapping):
        return parse_number(value)
    if "below_best" not in value:
        return ramp(value)
    table = {"below_best": number(above=0), "over": whole(2), "at_least": parse_number}
    read = record(table, value, needs=("below_best", "over"), shape="{below_best: NUMBER, over: STEPS}")
    return BelowBest(read["below_best"], read["over"], read.get("at_least"))


def ramp(value: Any) -> Ramp:
    """`{from: 0.9, to: 0.6, over: 500k}`."""
    table = {"from": parse_number, "to": parse_number, "over": whole(1)}
    read = record(table, value, needs=tuple(table), shape="{from: NUMBER, to: NUMBER, over: STEPS}")
    return Ramp(read["from"], read["to"], read["over"])


def condition(value: Any) -> str:
    parse_condition(value)
    return str(value)


def timeout(value: Any) -> tuple[str, str | None]:
    """What happens then, and where it goes to."""
    if isinstance(value, str) and value.startswith("goto:"):
        value = {"goto": value.removeprefix("goto:").strip()}
    if isinstance(value, Mapping):
        return "goto", str(record({"goto": text}, value, needs=("goto",), shape="{goto: NAME}")["goto"])
    if isinstance(value, str) and value.split()[:1] == ["goto"]:
        to = value.removeprefix("goto").strip() or "NAME"
        raise ValueError(f"goto needs a stage, written {{goto: {to}}}")
    return one_of("advance", "stop", "fail", "goto")(value), None


def edges(value: Any) -> tuple[Edge, ...]:
    table = {"to": text, "when": condition}
    found = [record(table, entry, needs=("to",), shape="{to: NAME, when: CRITERION}") for entry in sequence(value)]
    if not found:
        raise ValueError("is empty; `next:` lists ways out, each {to: NAME, when: CRITERION}")
    return tuple(Edge(read["to"], read.get("when")) for read in found)


def demotion(value: Any) -> Demotion:
    table = {"to": text, "below": parse_number, "margin": number(above=0), "patience": whole(1)}
    shape = "{to: NAME, patience: STEPS} and either `below:` or `margin:`"
    read = record(table, value, needs=("to", "patience"), shape=shape)
    if ("below" in read) == ("margin" in read):
        raise ValueError(f"expected {shape}")
    return Demotion(**read)


def shares(value: Any) -> dict[str, float]:
    read = {name: parse_number(share) for name, share in plain_mapping(value).items()}
    if any(share <= 0 for share in read.values()) or sum(read.values()) >= 1:
        raise ValueError("shares must be above 0, and below 1 together: what is left is the stage's own")
    return read


def trainer(value: Any) -> dict[str, Any]:
    """Settings as they are; `{from, to, over}` is a ramp over the steps in the stage."""
    settings = plain_mapping(value)
    for key, setting in settings.items():
        if isinstance(setting, Mapping) and {"from", "to"} & set(setting):
            try:
                settings[key] = ramp(setting)
            except ValueError as error:
                raise ValueError(f"{key} {error}") from None
    return settings


def on_enter(value: Any) -> OnEnter:
    resets = one_of(*RESETS)
    return OnEnter(
        **record({"reset": lambda names: tuple(map(resets, sequence(names))), "warmup_steps": whole()}, value)
    )


def evaluation(value: Any) -> Evaluation:
    table = {"every": whole(1), "episodes": whole(1), "earlier": flag}
    return Evaluation(**record(table, value, needs=("every", "episodes"), shape="{every: STEPS, episodes: NUMBER}"))
