"""`run`'s options for a cluster are laid over the recipe's `launch:` block."""

from __future__ import annotations

from typing import Any

import pytest

from stagectl.errors import UsageError
from stagectl.launch.options import LaunchOptions, with_options
from stagectl.recipe import Launch


def sky(**resources: Any) -> Launch:
    return Launch(backend="sky", resources=resources)


@pytest.mark.parametrize(
    ("named", "then"),
    [("L4", "L4:4"), ("L4:1", "L4:4"), ({"L4": 1}, {"L4": 4}), (["L4:1", "A10G"], ["L4:4", "A10G:4"])],
)
def test_gpus_is_how_many_of_those_that_the_recipe_names(named: Any, then: Any) -> None:
    assert with_options(sky(accelerators=named), LaunchOptions(gpus=4)).resources["accelerators"] == then


def test_gpus_holds_for_each_choice() -> None:
    choices = [{"infra": "aws", "accelerators": "L4:1"}, {"infra": "gcp", "accelerators": "L4:1"}]
    launch = with_options(sky(any_of=choices), LaunchOptions(gpus=2))
    assert [choice["accelerators"] for choice in launch.resources["any_of"]] == ["L4:2", "L4:2"]


def test_no_gpus_takes_the_accelerators_away() -> None:
    assert with_options(sky(accelerators="L4:1", cpus=4), LaunchOptions(gpus=0)).resources == {"cpus": 4}


def test_nodes_cpus_spot_and_hours_stand_for_the_recipes_own() -> None:
    launch = with_options(sky(cpus=1, use_spot=True), LaunchOptions(nodes=2, cpus=8, spot=False, timeout_hours=1.5))
    assert launch.resources == {"cpus": "8+", "use_spot": False}
    assert launch.task == {"num_nodes": 2}
    assert launch.timeout_hours == 1.5


def test_without_options_the_recipe_stands() -> None:
    assert with_options(sky(cpus=1), LaunchOptions()) == sky(cpus=1)


@pytest.mark.parametrize(
    ("launch", "options", "said"),
    [
        (Launch(), LaunchOptions(gpus=1), "--gpus is for a cluster"),
        (Launch(), LaunchOptions(timeout_hours=1), "--timeout-hours is for a cluster"),
        (sky(), LaunchOptions(gpus=1), "--gpus says how many, and nothing says which"),
        (sky(), LaunchOptions(nodes=0), "--nodes 0 makes no sense"),
        (sky(), LaunchOptions(gpus=-1), "--gpus -1 makes no sense"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(launch: Launch, options: LaunchOptions, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        with_options(launch, options)
    assert said in str(refused.value)
