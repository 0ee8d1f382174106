"""A feature extractor over MiniGrid's 7×7 view."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

KINDS = (11, 6, 3)  # objects, colours, states: minigrid.core.constants


class ViewExtractor(BaseFeaturesExtractor):
    """One-hot object, colour and state of each cell, then three convolutions.

    Observations are `(batch, 3, 7, 7)`, cells' indices as numbers; the result is `(batch, features_dim)`.
    """

    def __init__(self, observation_space: gym.Space[Any], features_dim: int = 128) -> None:
        super().__init__(observation_space, features_dim)
        self.register_buffer("offsets", torch.tensor([0, KINDS[0], KINDS[0] + KINDS[1]]).view(1, 3, 1, 1))
        self.layers = nn.Sequential(
            nn.Conv2d(sum(KINDS), 32, 2),
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
        cells = observations.long() + self.get_buffer("offsets")
        one_hot = torch.zeros(cells.shape[0], sum(KINDS), *cells.shape[2:], device=cells.device)
        features: torch.Tensor = self.layers(one_hot.scatter_(1, cells, 1.0))
        return features
