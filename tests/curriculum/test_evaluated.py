"""Metrics that `evaluate:` logs, and criteria that wait for others."""

from __future__ import annotations

from typing import Any

import pytest

from stagectl.curriculum import metrics_never_logged, read_stages

EVALUATE = {"every": 10, "episodes": 1}


def waiting_in_vain(*stages: Any, **settings: Any) -> list[str]:
    return [str(fault) for fault in metrics_never_logged(read_stages({"stages": list(stages), **settings}))]


def waits(name: str, metric: str, **settings: Any) -> dict[str, Any]:
    return {"curriculum": name, "advance_when": f'mean(metric("{metric}"), last=2) > 0.5', **settings}


@pytest.mark.parametrize("metric", ["eval/a/return", "eval/a/success_rate", "eval/loss", "loss", "eval/a"])
def test_what_is_logged_or_is_no_name_of_an_evaluation_may_be_waited_for(metric: str) -> None:
    assert waiting_in_vain(waits("a", metric, evaluate=EVALUATE), "b") == []


def test_the_nearest_metric_that_is_logged_there_is_named() -> None:
    (said,) = waiting_in_vain(waits("navigation", "eval/navigaton/success_rate", evaluate=EVALUATE), "b")
    assert said.startswith("stages.0: stage 'navigation' waits for 'eval/navigaton/success_rate'")
    assert said.endswith("did you mean 'eval/navigation/success_rate'?")


def test_a_stage_without_an_evaluation_waits_in_vain() -> None:
    (said,) = waiting_in_vain(waits("a", "eval/a/return"), "b")
    assert said.endswith("which no `evaluate:` logs there; 'a' has no `evaluate:`")


def test_an_earlier_stage_is_evaluated_only_where_the_recipe_says_so() -> None:
    later = waits("b", "eval/a/return", evaluate=EVALUATE)
    assert len(waiting_in_vain("a", later, "c")) == 1
    assert waiting_in_vain("a", {**later, "evaluate": {**EVALUATE, "earlier": True}}, "c") == []


def test_a_plain_return_has_no_success_rate() -> None:
    assert len(waiting_in_vain(waits("a", "eval/a/success_rate", evaluate=EVALUATE), "b", score="return")) == 1


def test_ways_out_and_members_of_groups_are_looked_at_with_their_places() -> None:
    edge = {"to": "end", "when": 'metric("eval/x/return") > 1'}
    (way,) = waiting_in_vain({"curriculum": "a", "evaluate": EVALUATE, "next": [edge]})
    pair = {"name": "pair", "parallel": [waits("left", "eval/right/return"), waits("right", "eval/rigth/return")]}
    (member,) = waiting_in_vain({**pair, "evaluate": EVALUATE}, "b")
    assert way.startswith("stages.0.next.0: stage 'a' waits for 'eval/x/return'")
    assert member.startswith("stages.0.parallel.1: stage 'right' waits for 'eval/rigth/return'")
