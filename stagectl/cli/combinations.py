"""What goes with what on `simulate`'s command line: an option that would do nothing is refused, and told why."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from stagectl.errors import UsageError

GOES_WITH = {  # an option, the one that it is about, and what it says of that
    "--rank": ("--sweep", "orders the variants of a sweep"),
    "--window": ("--sweep", "is for judging the exits of a sweep"),
}
CLASHES = {
    ("--stages", "--recipe"): "--stages is for a trace without a recipe; the recipe has its own",
    ("--explain", "--sweep"): "--explain is of one recipe, and --sweep makes many of it",
    ("--explain", "--report"): "--explain does not go into a --report",
}
OF_ONE = ("--sweep", "--explain", "--plot")  # recipe
SHOWN_BY = {"--rank": ("table",), "--price": ("table", "json")}  # and by a report


def check(given: AbstractSet[str], overrides: list[str], recipes: int, output: str) -> None:
    """Refuse what does not go together, before anything is read.

    Args:
        given: The options that stand on the command line.
        overrides: What is laid over a recipe.
        recipes: How many there are.
        output: What is printed.

    Raises:
        UsageError: An option does nothing there; it says what it goes with.
    """
    check_overrides(overrides, recipes)
    for clashing, message in CLASHES.items():
        if given >= set(clashing):
            raise UsageError(message)
    for option, (other, does) in GOES_WITH.items():
        if option in given and other not in given:
            raise UsageError(f"{option} {does}, and there is no {other}")
    _check_recipes(given, recipes)
    if "--report" not in given:
        _check_shown(given, output)


def check_overrides(overrides: list[str], recipes: int) -> None:
    """Refuse values that there is no recipe to lay over. Raises UsageError."""
    if overrides and not recipes:
        raise UsageError(f"'{overrides[0]}' overrides a recipe, and there is none", hint="name it: --recipe RECIPE")


def _check_recipes(given: AbstractSet[str], recipes: int) -> None:
    for option in OF_ONE:
        if option in given and recipes > 1:
            raise UsageError(f"{option} is of one recipe, and there are {recipes}")
    if "--price" in given and recipes < 2:
        raise UsageError("--price is of the difference between recipes", hint="name two: --recipe A --recipe B")


def _check_shown(given: AbstractSet[str], output: str) -> None:
    for option, outputs in SHOWN_BY.items():
        if option in given and output not in outputs:
            shown = " or ".join(f"-o {name}" for name in outputs)
            raise UsageError(f"{option} does not show in -o {output}", hint=f"it goes with {shown}, or with --report")
