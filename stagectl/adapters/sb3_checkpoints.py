"""Stable-Baselines3: a model saved, restored, and begun anew, so that going on from a checkpoint is exact.

A checkpoint is a point from which training begins anew, in the process that saves it as in one that restores it:
everything random is seeded from the model's seed and the step, and every episode begins. So no generator's state and no
environment has to be saved, which few environments could be; the episodes that were running count for nobody.
"""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import load_from_pkl, load_from_zip_file

MODEL, STATISTICS, REPLAY = "model.zip", "vecnormalize.pkl", "replay_buffer.pkl.gz"

# what a model counts and remembers beside its parameters; its arguments are the recipe's and not the checkpoint's
_COUNTERS = (
    "_current_progress_remaining",
    "_episode_num",
    "_n_calls",
    "_n_updates",
    "ep_info_buffer",
    "ep_success_buffer",
    "exploration_rate",
)


def save(model: BaseAlgorithm, folder: Path) -> None:
    """Save the parameters, optimizers, statistics and replay buffer of a model that has learnt from its rollouts."""
    model.save(folder / MODEL)
    normalized = model.get_vec_normalize_env()
    if normalized is not None:
        normalized.save(str(folder / STATISTICS))
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        with gzip.open(folder / REPLAY, "wb", compresslevel=1) as file:  # most of it may never have been filled
            pickle.dump(buffer, file, protocol=pickle.HIGHEST_PROTOCOL)


def restore(model: BaseAlgorithm, folder: Path, step: int) -> None:
    """Put what `save` saved at that step into a model that was made by the same arguments."""
    data, parameters, variables = load_from_zip_file(folder / MODEL, device=model.device)
    model.set_parameters(parameters, device=model.device)
    for name in _COUNTERS:
        if data is not None and name in data:
            setattr(model, name, data[name])
    if variables and "log_ent_coef" in variables:  # SAC's entropy coefficient, where it learns it
        model.log_ent_coef.data = variables["log_ent_coef"].data  # type: ignore[attr-defined]
    model.num_timesteps = model._num_timesteps_at_start = step
    normalized = model.get_vec_normalize_env()
    if normalized is not None:
        saved = load_from_pkl(folder / STATISTICS)
        for name in ("obs_rms", "ret_rms"):
            if hasattr(saved, name):
                setattr(normalized, name, getattr(saved, name))
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        with gzip.open(folder / REPLAY) as file:
            vars(buffer).update({**vars(pickle.load(file)), "device": model.device})  # a rollout holds on to the object


def begin_anew(model: BaseAlgorithm) -> None:
    """Seed everything from the model's seed and its step, and begin every episode."""
    assert model.env is not None, "a model that trains has environments"
    seed = np.random.SeedSequence([abs(model.seed or 0), model.num_timesteps]).generate_state(1)[0]
    model.set_random_seed(int(seed) >> 1)
    model._last_obs = model.env.reset()  # type: ignore[assignment]
    model._last_episode_starts = np.ones(model.env.num_envs, dtype=bool)
    normalized = model.get_vec_normalize_env()
    if normalized is not None:
        model._last_original_obs = normalized.get_original_obs()
    noisy: Any = getattr(model, "actor", model.policy)
    if model.use_sde:
        noisy.reset_noise(model.env.num_envs)
    if model.action_noise is not None:
        model.action_noise.reset()
    buffer: Any = getattr(model, "replay_buffer", None)
    if getattr(buffer, "optimize_memory_usage", False):
        buffer.dones[buffer.pos - 1] = True  # what it has next is of another episode
