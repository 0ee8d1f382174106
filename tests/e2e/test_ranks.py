"""Two processes under torchrun train as one run."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.conftest import RECIPES, Stagectl


def test_both_ranks_are_in_the_same_stage_at_every_step_and_one_of_them_records(
    stagectl: Stagectl, tmp_path: Path
) -> None:
    recipe = tmp_path / "ranks.yaml"
    words = ["python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = json.dumps([*words, str(RECIPES / "ranks.py"), str(tmp_path)])
    recipe.write_text(
        f"trainer: {{command: {command}, total_timesteps: 20k}}\n"
        "curriculum:\n"
        "  performance_threshold: 0.6\n"
        "  stages: [a, {curriculum: b, rehearse: {a: 0.2}}, {curriculum: c, performance_threshold: 0.6}]\n"
    )
    done = stagectl("run", recipe, "run=two")
    assert done.returncode == 0, done.stdout + stagectl("logs", "two").stdout
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert list(dict.fromkeys(name for _, name in first)) == ["a", "b", "c"]
    events = stagectl.events("two")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    checkpoint = stagectl.folder("two") / stagectl.json("status", "two")["checkpoint"]
    assert (checkpoint / "model.txt").read_text() == "0"
    trace = tmp_path / "trace.csv"
    assert stagectl("export", "two", "--to", trace).returncode == 0
    simulated = stagectl.json("simulate", trace, "--recipe", recipe)
    assert simulated["transitions"] == stagectl.json("status", "two")["transitions"]
