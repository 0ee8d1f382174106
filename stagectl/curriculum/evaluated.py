"""What `evaluate:` plays and logs, and criteria that wait for what it never logs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stagectl.curriculum.criteria import criteria_of
from stagectl.curriculum.language import metrics_in
from stagectl.curriculum.stages import Stage
from stagectl.errors import Fault, nearest


def stages_evaluated(stages: Sequence[Stage], current: int) -> list[Stage]:
    """What the current stage's `evaluate:` plays: itself or a group's members, and with `earlier` all before it."""
    evaluation = stages[current].evaluate
    if evaluation is None:
        return []
    first = 0 if evaluation.earlier else current
    return [member for stage in stages[first : current + 1] for member in stage.members]


def metrics_logged(stages: Sequence[Stage], current: int) -> list[str]:
    """The metrics that `evaluate:` logs while the stage of that index is on."""
    return [
        f"eval/{played.name}/{kind}"
        for played in stages_evaluated(stages, current)
        for kind in (("success_rate", "return") if played.score.bounded else ("return",))
    ]


def metrics_never_logged(stages: Sequence[Stage]) -> Iterator[Fault]:
    """Criteria that wait for an evaluation which is not played while their stage is on."""
    for index, top in enumerate(stages):
        logged = metrics_logged(stages, index)
        for path, stage, condition in criteria_of(top):
            for name in metrics_in(condition):
                if re.fullmatch("eval/.+/(success_rate|return)", name) and name not in logged:
                    hint = nearest(name, logged) if logged else f"'{top.name}' has no `evaluate:`"
                    message = f"stage '{stage.name}' waits for '{name}', which no `evaluate:` logs there; {hint}"
                    yield Fault(("stages", index, *path), message)
