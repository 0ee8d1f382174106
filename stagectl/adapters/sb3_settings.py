"""Stable-Baselines3: what a stage says of its learner, put into a model between rollouts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.utils import FloatSchedule

from stagectl.curriculum import StagedProgressiveCurriculum
from stagectl.curriculum.fields import Reader, flag, number, optional, whole
from stagectl.curriculum.stages import Ramp, Stage
from stagectl.errors import CurriculumError, Fault, nearest


class StageSettings:
    """Gives a model the settings of the stage that is on; those that a stage does not name come back as they were.

    As they were: as the model has them when this is made, so make it before the first stage is applied.

    Raises:
        CurriculumError: A stage wants what the model cannot change, or to reset statistics that it does not keep.
    """

    def __init__(self, model: BaseAlgorithm, curriculum: StagedProgressiveCurriculum) -> None:
        self.model = model
        self._curriculum = curriculum
        self._base = {key: _IN_FLIGHT[key].get(model) for key in in_flight(type(model))}
        self._schedule = model.lr_schedule
        self._applied: dict[str, Any] = {}
        self._visit: tuple[int, int] | None = None
        faults = [
            fault
            for index, stage in enumerate(curriculum.stages)
            for fault in (
                *setting_faults(type(model), stage, self._base, ("stages", index, "trainer")),
                *_reset_faults(model, stage, ("stages", index, "on_enter", "reset")),
            )
        ]
        if faults:
            raise CurriculumError(*faults)

    def apply(self) -> None:
        """Call it at a rollout's start. Ramps stand where the steps in the stage are then."""
        curriculum = self._curriculum
        stage, steps = curriculum.stage, curriculum.progress().steps
        visit = (curriculum.current_stage, curriculum.total_steps - steps)
        if visit != self._visit:
            if steps == 0:  # not where a stage is taken up again in its middle
                reset(self.model, stage.on_enter.reset)
            self._visit = visit
        wanted = settings_at(stage, steps)
        for key in self._applied.keys() - wanted.keys():
            self._set(key, self._base[key])
        for key, value in wanted.items():
            if key not in self._applied or self._applied[key] != value:
                self._set(key, value)
        self._warm_up(wanted.get("learning_rate"), steps, stage.on_enter.warmup_steps)
        self._applied = wanted

    def _set(self, key: str, value: Any) -> None:
        _IN_FLIGHT[key].set(self.model, value)

    def _warm_up(self, named: float | None, steps: int, over: int) -> None:
        """The learning rate; a schedule that the model was made with stays one where nothing else is said."""
        if named is None and steps >= over:
            self.model.lr_schedule = self._schedule
            return
        rate = self._schedule(self.model._current_progress_remaining) if named is None else named
        self.model.lr_schedule = FloatSchedule(rate * steps / over if steps < over else rate)


def settings_at(stage: Stage, steps: int) -> dict[str, Any]:
    """The stage's settings, read as numbers: `100k` is one, and a ramp over whole numbers is rounded."""
    found = {}
    for key, value in stage.trainer_at(steps).items():
        setting = _IN_FLIGHT[key]
        whole_number = setting.whole and isinstance(stage.trainer[key], Ramp)
        found[key] = setting.read(round(value) if whole_number else value)
    return found


def in_flight(algorithm: type[BaseAlgorithm]) -> list[str]:
    """The arguments of an algorithm that it reads anew at every rollout or update, so that a stage may set them."""
    return sorted(inspect.signature(algorithm.__init__).parameters.keys() & _IN_FLIGHT.keys())


def setting_faults(
    algorithm: type[BaseAlgorithm], stage: Stage, base: Mapping[str, Any], path: tuple[str | int, ...]
) -> list[Fault]:
    """What of a stage's `trainer:` cannot be.

    Args:
        algorithm: The class of the model.
        stage: The stage, or a group.
        base: What the model is made with, by argument.
        path: Where the stage's `trainer:` stands.
    """
    able = in_flight(algorithm)
    faults = []
    for key, value in stage.trainer.items():
        if key not in able:
            known = f"{algorithm.__name__} can change, from stage to stage: {', '.join(able)}"
            faults.append(Fault((*path, key), f"{_why_not(algorithm, key, able)}; {known}"))
        elif key == "ent_coef" and str(base.get(key, _default(algorithm, key))).startswith("auto"):
            message = "the run learns this itself (`ent_coef: auto`); give the trainer's block a number first"
            faults.append(Fault((*path, key), message))
        else:
            faults += _value_faults(key, value, path)
    return faults


def reset(model: BaseAlgorithm, what: tuple[str, ...]) -> None:
    """Forget what the optimizers, or the statistics of observations or returns, have gathered."""
    if "optimizer" in what:
        for optimizer in optimizers(model):
            optimizer.state.clear()
    normalized = model.get_vec_normalize_env()
    if normalized is None:
        return
    if "observation_stats" in what:
        stats = normalized.obs_rms
        if isinstance(stats, dict):
            normalized.obs_rms = {key: RunningMeanStd(shape=value.mean.shape) for key, value in stats.items()}
        else:
            normalized.obs_rms = RunningMeanStd(shape=stats.mean.shape)
    if "return_stats" in what:
        normalized.ret_rms = RunningMeanStd(shape=())
        normalized.returns = np.zeros(normalized.num_envs)


def optimizers(model: BaseAlgorithm) -> Iterator[torch.optim.Optimizer]:
    """A model's optimizers: of the policy, or of the actor and the critic, and of a learnt entropy coefficient."""
    policy = model.policy
    holders = [(policy, "optimizer"), (getattr(policy, "actor", None), "optimizer")]
    holders += [(getattr(policy, "critic", None), "optimizer"), (model, "ent_coef_optimizer")]
    for holder, name in holders:
        optimizer = getattr(holder, name, None)
        if isinstance(optimizer, torch.optim.Optimizer):
            yield optimizer


# ── the settings ────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Setting:
    """An argument that a model reads in flight: how its value is read, and got from and put into a model."""

    read: Reader
    get: Callable[[Any], Any]
    set: Callable[[Any, Any], None]
    whole: bool = False


def _attribute(name: str, read: Reader, *, whole: bool = False) -> _Setting:
    def put(model: Any, value: Any) -> None:
        setattr(model, name, value)

    return _Setting(read, lambda model: getattr(model, name), put, whole)


def _schedule(name: str, read: Reader) -> _Setting:
    """A number that the model keeps as a schedule over the run."""

    def put(model: Any, value: Any) -> None:
        setattr(model, name, FloatSchedule(value) if isinstance(value, float) else value)

    return _Setting(read, lambda model: getattr(model, name), put)


def _set_gamma(model: Any, value: float) -> None:
    buffers = [getattr(model, name, None) for name in ("rollout_buffer", "replay_buffer")]
    holders: list[Any] = [model, *buffers, model.get_vec_normalize_env()]
    for holder in holders:
        if hasattr(holder, "gamma"):
            holder.gamma = value


def _set_gae_lambda(model: Any, value: float) -> None:
    model.gae_lambda = model.rollout_buffer.gae_lambda = value


def _set_ent_coef(model: Any, value: float) -> None:
    model.ent_coef = value
    if hasattr(model, "ent_coef_tensor"):  # SAC's
        model.ent_coef_tensor = torch.tensor(float(value), device=model.device)


_IN_FLIGHT: dict[str, _Setting] = {
    # put in by StageSettings, which has the warm-up to think of
    "learning_rate": _Setting(number(0), lambda model: None, lambda model, value: None),
    "batch_size": _attribute("batch_size", whole(1), whole=True),
    "clip_range": _schedule("clip_range", number(above=0)),
    "clip_range_vf": _schedule("clip_range_vf", optional(number(above=0))),
    "ent_coef": _Setting(number(0), lambda model: model.ent_coef, _set_ent_coef),
    "gae_lambda": _Setting(number(0, 1), lambda model: model.gae_lambda, _set_gae_lambda),
    "gamma": _Setting(number(0, 1), lambda model: model.gamma, _set_gamma),
    "gradient_steps": _attribute("gradient_steps", whole(1), whole=True),
    "max_grad_norm": _attribute("max_grad_norm", number(above=0)),
    "n_epochs": _attribute("n_epochs", whole(1), whole=True),
    "normalize_advantage": _attribute("normalize_advantage", flag),
    "policy_delay": _attribute("policy_delay", whole(1), whole=True),
    "target_kl": _attribute("target_kl", optional(number(above=0))),
    "target_noise_clip": _attribute("target_noise_clip", number(0)),
    "target_policy_noise": _attribute("target_policy_noise", number(0)),
    "target_update_interval": _attribute("target_update_interval", whole(1), whole=True),
    "tau": _attribute("tau", number(0, 1)),
    "vf_coef": _attribute("vf_coef", number(0)),
}
_NO_RAMP = ("normalize_advantage",)
_FIXED = {
    "algorithm": "one learner plays all stages",
    "buffer_size": "the replay buffer is made once",
    "checkpoint_every": "this is the run's",
    "device": "the network is made once",
    "exploration_final_eps": "exploration follows one schedule over the whole run",
    "exploration_fraction": "exploration follows one schedule over the whole run",
    "exploration_initial_eps": "exploration follows one schedule over the whole run",
    "keep_checkpoints": "this is the run's",
    "learning_starts": "only the run's beginning reads this",
    "n_envs": "the environments are made once",
    "n_steps": "the buffer is made once, for so many steps",
    "normalize_observations": "the environments are wrapped once",
    "normalize_returns": "the environments are wrapped once",
    "policy": "the network is made once",
    "policy_kwargs": "the network is made once",
    "seed": "this is the run's",
    "threads": "this is the whole process's",
    "total_timesteps": "this is the run's budget; a stage has `max_steps:`",
    "use_rms_prop": "the optimizer is made once",
    "use_sde": "the network is made once",
}


def _why_not(algorithm: type[BaseAlgorithm], key: str, able: list[str]) -> str:
    if key in _FIXED:
        return f"a stage cannot change '{key}': {_FIXED[key]}"
    if key in inspect.signature(algorithm.__init__).parameters:
        return f"a stage cannot change '{key}': Stable-Baselines3 reads it once, when the model is made"
    hint = nearest(key, able)
    return f"{algorithm.__name__} has no '{key}'" + (f"; {hint}" if hint.startswith("did you") else "")


def _value_faults(key: str, value: Any, path: tuple[str | int, ...]) -> list[Fault]:
    if isinstance(value, Ramp) and key in _NO_RAMP:
        return [Fault((*path, key), "expected true or false, found a ramp")]
    setting = _IN_FLIGHT[key]
    for one in (value.start, value.end) if isinstance(value, Ramp) else (value,):
        try:
            setting.read(one)
        except ValueError as error:
            return [Fault((*path, key), str(error))]
    return []


def _reset_faults(model: BaseAlgorithm, stage: Stage, path: tuple[str | int, ...]) -> list[Fault]:
    normalized = model.get_vec_normalize_env()
    kept = {"optimizer"}
    if normalized is not None:
        kept |= {"observation_stats"} if normalized.norm_obs else set()
        kept |= {"return_stats"} if normalized.norm_reward else set()
    return [
        Fault(path, f"cannot reset '{what}': the model's environments do not normalise; wrap them in VecNormalize")
        for what in stage.on_enter.reset
        if what not in kept
    ]


def _default(algorithm: type[BaseAlgorithm], key: str) -> Any:
    return inspect.signature(algorithm.__init__).parameters[key].default
