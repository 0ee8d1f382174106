"""Which columns of a table say what: named by the user, else known by their usual headers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from stagectl.errors import TraceError, nearest

STEP_HEADERS = (
    "step",
    "global_step",
    "steps",
    "total_steps",
    "timesteps",
    "num_timesteps",
    "total_timesteps",
    "time/total_timesteps",
    "timesteps_total",
    "env_steps",
    "env_step",
    "_step",
)
SCORE_HEADERS = (
    "score",
    "success_rate",
    "success",
    "is_success",
    "performance",
    "reward",
    "episode_return",
    "return",
    "rollout/success_rate",
    "eval/success_rate",
    "rollout/ep_rew_mean",
    "eval/mean_reward",
    "charts/episodic_return",
    "episode_reward_mean",
    "episode_reward",
    "episodic_return",
    "mean",
    "r",
)
STAGE_HEADERS = ("stage", "stage_name", "curriculum/stage_name", "lesson")
RUN_HEADERS = ("run", "run_id", "run_name", "seed")
COUNT_HEADERS = ("count", "n_episodes")  # beside a score that is a mean or a rate
LENGTH_HEADERS = ("l", "episode_length", "length")  # `r,l,t` is what Stable-Baselines3's Monitor writes
KEY_HEADERS, VALUE_HEADERS = ("metric", "tag", "name", "key"), ("value",)
VISIT, ADVANCE, MEAN_OF, ATTEMPT = "visit", "advance_to", "mean_of", "attempt"
OWN_HEADERS = (
    "step",
    "stage",
    "score",
    VISIT,
    ADVANCE,
    MEAN_OF,
)  # an exported run's, so that no metric may be read from them
METRIC = "metric:"  # begins the header of a metric whose own name would be taken for another column
TAKEN = frozenset(STEP_HEADERS).union(
    SCORE_HEADERS, STAGE_HEADERS, RUN_HEADERS, COUNT_HEADERS, LENGTH_HEADERS, KEY_HEADERS, VALUE_HEADERS
) | {VISIT, ADVANCE, MEAN_OF, ATTEMPT}


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns to read and what their numbers count; None lets the header decide.

    Attributes:
        step: The column of steps.
        score: The column of scores; in a long table (`metric,step,value`) the metric that is the score.
        stage: The column of stages' names.
        metrics: Metrics that criteria name, read where the header has them.
        run: The column that tells several runs apart: a run's name, a seed.
        count: The column that tells how many episodes a row's score is the mean of.
        steps_per_row: Environment steps that a row stands for, where no column tells steps.
        step_factor: Environment steps that one of the step column is: agents, parallel environments, skipped frames.
        score_range: The scores that count as 0 and as 1; what is between is scaled linearly.
    """

    step: str | None = None
    score: str | None = None
    stage: str | None = None
    metrics: frozenset[str] = frozenset()
    run: str | None = None
    count: str | None = None
    steps_per_row: int | None = None
    step_factor: int = 1
    score_range: tuple[float, float] = (0.0, 1.0)


GUESSED = Columns()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The columns of one table by what they say; `key` and `value` are those of a long table."""

    step: str | None
    score: str | None = None
    stage: str | None = None
    run: str | None = None
    count: str | None = None
    length: str | None = None
    visit: str | None = None
    advance: str | None = None
    attempt: str | None = None
    key: str | None = None
    value: str | None = None
    run_guessed: bool = False
    metrics: dict[str, str] = field(default_factory=dict)

    def numbers(self) -> list[str]:
        """The columns that hold numbers of any kind."""
        return _unique(self.score, self.value, *self.metrics.values())

    def wholes(self) -> list[str]:
        return _unique(self.step, self.count, self.length, self.visit, self.attempt)

    def words(self) -> list[str]:
        return _unique(self.stage, self.run, self.advance, self.key)

    def all(self) -> list[str]:
        return _unique(*self.wholes(), *self.numbers(), *self.words())


def choose(header: Sequence[str], columns: Columns, where: str) -> Chosen:
    """The columns to read of a table with this header.

    Raises:
        TraceError: A named column is not there, nothing looks like a step or a score, or a name stands there twice.
    """
    key = _guess(header, KEY_HEADERS)
    value = _guess(header, VALUE_HEADERS)
    long = key is not None and value is not None and _guess(header, SCORE_HEADERS) is None
    length = None if columns.steps_per_row else _guess(header, LENGTH_HEADERS)
    step = None
    if columns.steps_per_row is None:
        step = _named(header, columns.step, where) or _guess(header, STEP_HEADERS)
        if step is None and length is None:
            told = "name it: --step-column NAME, or tell what a row stands for: --steps-per-row N"
            raise TraceError(f"{where}: no column looks like a step; it has {_listed(header)}", hint=told)
    metrics = {} if long else found_metrics(header, columns.metrics)
    score = None if long else _score(header, columns, where, has_metrics=bool(metrics))
    chosen = Chosen(
        step=step,
        score=score,
        stage=None if long else _named(header, columns.stage, where) or _guess(header, STAGE_HEADERS),
        run=_named(header, columns.run, where) or _guess(header, RUN_HEADERS),
        count=_named(header, columns.count, where) or _count(header, score),
        length=length if step is None else None,
        visit=VISIT if VISIT in header else None,
        advance=ADVANCE if ADVANCE in header else None,
        attempt=ATTEMPT if ATTEMPT in header else None,
        key=key if long else None,
        value=value if long else None,
        run_guessed=columns.run is None,
        metrics=metrics,
    )
    for name in chosen.all():
        if header.count(name) > 1:
            raise TraceError(f"{where}: has {header.count(name)} columns named '{name}'", hint="name them apart")
    return chosen


def choose_metric(names: Sequence[str], columns: Columns, where: str) -> str | None:
    """The metric of a long table that is the score; None where only metrics for criteria were found."""
    return _score(names, columns, where, has_metrics=bool(found_metrics(names, columns.metrics)), what="metric")


def _score(
    header: Sequence[str], columns: Columns, where: str, *, has_metrics: bool, what: str = "column"
) -> str | None:
    found = _named(header, columns.score, where, what) or _guess(header, SCORE_HEADERS)
    if found is None and not has_metrics:
        hint = "name it: --score-column NAME"
        raise TraceError(f"{where}: no {what} looks like a score; it has {_listed(header)}", hint=hint)
    return found


def found_metrics(header: Sequence[str], wanted: frozenset[str]) -> dict[str, str]:
    found = {name: f"{METRIC}{name}" for name in sorted(wanted) if f"{METRIC}{name}" in header}
    plain = {name: name for name in sorted(wanted) if name in header and name not in OWN_HEADERS}
    return plain | found


def _count(header: Sequence[str], score: str | None) -> str | None:
    """What a row's score is the mean of; where it is told as no mean, a count may be anything."""
    if MEAN_OF in header:
        return MEAN_OF
    is_mean = score is not None and ("mean" in score.lower() or "rate" in score.lower())
    return _guess(header, COUNT_HEADERS) if is_mean else None


def metric_header(name: str) -> str:
    """The header under which a run's metric is written, so that it is read as that metric and nothing else."""
    return f"{METRIC}{name}" if name.strip().lower() in TAKEN or name.startswith(METRIC) else name


def _named(header: Sequence[str], name: str | None, where: str, what: str = "column") -> str | None:
    if name is not None and name not in header:
        raise TraceError(f"{where}: has no {what} '{name}'; {nearest(name, header)}")
    return name


def _guess(header: Sequence[str], usual: Sequence[str]) -> str | None:
    lowered = [name.strip().lower() for name in header]
    return next((header[lowered.index(name)] for name in usual if name in lowered), None)


def _listed(header: Sequence[str], most: int = 12) -> str:
    more = f" and {len(header) - most} more" if len(header) > most else ""
    return ", ".join(header[:most]) + more


def _unique(*names: str | None) -> list[str]:
    return list(dict.fromkeys(name for name in names if name is not None))
