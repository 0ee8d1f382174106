"""The recipe's `launch:` block: any field of a SkyPilot task, and nothing that SkyPilot would take in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from stagectl.errors import RecipeError
from stagectl.recipe import Recipe, load_recipe, read_resolved, write_resolved

CURRICULUM = "trainer: {total_timesteps: 1000}\ncurriculum: {stages: [a, b]}\n"


def recipe(tmp_path: Path, launch: str) -> Recipe:
    file = tmp_path / "r.yaml"
    file.write_text(f"{CURRICULUM}launch: {launch}\n")
    return load_recipe(file)


def test_fields_of_a_task_and_of_its_resources_stand_side_by_side(tmp_path: Path) -> None:
    launch = recipe(
        tmp_path,
        "{backend: sky, managed: true, infra: aws/us-east-1, accelerators: 'L4:2', num_nodes: 2, use_spot: true,"
        " envs: {DEPTH: 3}, secrets: [WANDB_API_KEY], file_mounts: {/data: s3://bucket}, job_recovery: FAILOVER}",
    ).launch
    assert launch.managed
    assert launch.task == {
        "num_nodes": 2,
        "envs": {"DEPTH": "3"},
        "secrets": ("WANDB_API_KEY",),
        "file_mounts": {"/data": "s3://bucket"},
    }
    assert launch.resources == {
        "infra": "aws/us-east-1",
        "accelerators": "L4:2",
        "use_spot": True,
        "job_recovery": "FAILOVER",
    }


def test_the_resolved_recipe_says_the_same(tmp_path: Path) -> None:
    first = recipe(tmp_path, "{backend: sky, cluster: lab, secrets: [TOKEN], cpus: 4+, timeout_hours: 1.5}")
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(write_resolved(first))
    assert read_resolved(resolved, folder=tmp_path).launch == first.launch


def test_a_recipe_for_a_cluster_runs_here_where_it_is_told_to(tmp_path: Path) -> None:
    assert recipe(tmp_path, "{backend: local, accelerators: 'L4:1'}").launch.backend == "local"


@pytest.mark.parametrize(
    ("launch", "said"),
    [
        ("{accelerators: L4}", "launch.accelerators: is for a cluster: add `backend: sky`"),
        ("{backend: sky, acelerators: L4}", "launch.acelerators: unknown key; did you mean 'accelerators'?"),
        ("{backend: sky, run: python x.py}", "launch.run: unknown key"),
        ("{backend: sky, infra: awz}", "'awz' is no infrastructure of SkyPilot's; did you mean 'aws'?"),
        ("{backend: sky, any_of: [{cpu: 4}]}", "launch.any_of: cpu: unknown key; did you mean 'cpus'?"),
        ("{backend: sky, secrets: {KEY: 123}}", "expected a list of names, as in [WANDB_API_KEY]"),
        ("{backend: sky, envs: {STAGECTL_RUN: x}}", "STAGECTL_RUN is stagectl's own"),
        ("{backend: sky, envs: {STAGECTL_HOME: here}}", "STAGECTL_HOME: here has no place on another machine"),
        ("{backend: sky, job_recovery: FAILOVER}", "only a managed job is recovered"),
        ("{backend: sky, managed: true, cluster: lab}", "a managed job has a cluster of its own"),
        ("{backend: sky, managed: true, job_recovery: NOPE}", "'NOPE' is not one of FAILOVER"),
        ("{backend: sky, managed: true, job_recovery: {strateggy: FAILOVER}}", "did you mean 'strategy'?"),
        ("{backend: sky, managed: true, job_recovery: {max_restarts_on_errors: 1}}", "stagectl itself restarts"),
        ("{backend: sky, managed: true, job_recovery: {recover_on_exit_codes: [33]}}", "stagectl itself restarts"),
        ("{backend: sky, cluster: 9lives}", "'9lives' cannot name a cluster"),
        ("{backend: sky, num_nodes: 0}", "0 is less than 1"),
        ("{backend: sky, timeout_hours: 0}", "timeout_hours: 0 is outside (0, ∞)"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(tmp_path: Path, launch: str, said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        recipe(tmp_path, launch)
    assert said in str(refused.value)
