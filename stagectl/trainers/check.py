"""`python -m stagectl.trainers.check RECIPE FOLDER`: what would keep a resolved recipe from training, as JSON.

A process of its own, so that the command line imports neither torch nor an environment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from pathlib import Path

from stagectl.errors import CurriculumError, Fault, RecipeError
from stagectl.recipe import build_curriculum, import_from, read_resolved


def main() -> None:
    with contextlib.redirect_stdout(sys.stderr):  # what an environment prints is no answer of ours
        faults = _faults(Path(sys.argv[1]), Path(sys.argv[2]))
    print(json.dumps([dataclasses.asdict(fault) for fault in faults]))  # noqa: T201


def _faults(path: Path, folder: Path) -> list[Fault]:
    import_from(folder)
    recipe = read_resolved(path, folder=folder)
    try:
        build_curriculum(recipe)
    except (RecipeError, CurriculumError) as error:
        return [Fault(("curriculum", "_target_"), str(error).removeprefix("curriculum._target_: "))]
    if recipe.trainer.command:
        return []
    from stagectl.trainers.sb3 import check

    return check(recipe)


if __name__ == "__main__":
    main()
