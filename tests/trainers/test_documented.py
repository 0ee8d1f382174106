"""What the page says of the trainer is what the trainer does."""

from __future__ import annotations

import re
from pathlib import Path

from stable_baselines3 import PPO

from stagectl.adapters.sb3_settings import in_flight

PAGE = Path(__file__).parents[2] / "docs" / "curriculum.md"


def test_the_page_lists_what_ppo_can_change_in_flight() -> None:
    listed = re.search(r"What PPO can change in flight: (.*?)\. The check", PAGE.read_text(), re.DOTALL)
    assert listed is not None
    assert sorted(re.findall(r"`(\w+)`", listed.group(1))) == in_flight(PPO)
