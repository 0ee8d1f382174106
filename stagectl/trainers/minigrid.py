"""A feature extractor over MiniGrid's 7×7 view."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import gymnasium as gym
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from stagectl.trainers.environments import PLANES


class ViewExtractor(BaseFeaturesExtractor):
    """One-hot object, colour, state and heading of each cell, then three convolutions.

    Observations are `(batch, 7, 7, 4)`, indices as numbers; the result is `(batch, features_dim)`.
    """

    def __init__(self, observation_space: gym.Space[Any], features_dim: int = 128) -> None:
        super().__init__(observation_space, features_dim)
        self.register_buffer("offsets", torch.tensor([0, *accumulate(PLANES[:-1])]))
        self.layers = nn.Sequential(
            nn.Conv2d(sum(PLANES), 32, 2),
            nn.ReLU(),
            nn.Conv2d(32, 32, 2),
            nn.ReLU(),
            nn.Conv2d(32, 64, 2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 4 * 4, features_dim),
            nn.ReLU(),
        )

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        indices = observations.long() + self.get_buffer("offsets")
        one_hot = torch.zeros(*indices.shape[:3], sum(PLANES), device=indices.device).scatter_(3, indices, 1.0)
        features: torch.Tensor = self.layers(one_hot.permute(0, 3, 1, 2))
        return features
