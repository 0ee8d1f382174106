"""What a criterion was waiting for at a step, and what threshold the recordings support."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from stagectl.view.facts import term_part
from stagectl.view.lines import Part, joined, labelled
from stagectl.view.words import clean, score, steps

if TYPE_CHECKING:
    from stagectl.simulate.explain import Explanation
    from stagectl.simulate.suggest import Suggestion

Said = list[tuple[str, list[Part]]]


def explanation_panel(told: Explanation, width: int) -> Text:
    """Where the replay stood at a step, and what blocked it."""
    return _panel(_explained(told), width)


def explanation_text(told: Explanation) -> str:
    """The same for a pipe: a line a fact."""
    return _text(_explained(told))


def suggestion_panel(told: Suggestion, width: int) -> Text:
    """The threshold and smoothing, why these, and the lines for the recipe."""
    lines = [Text.assemble(" ", (line, "bold")) for line in told.yaml.splitlines()]
    return joined([*lines, Text(), *_panel(_suggested(told), width).split("\n")])


def suggestion_text(told: Suggestion) -> str:
    return f"{told.yaml.rstrip()}\n\n{_text(_suggested(told))}"


def _explained(told: Explanation) -> Said:
    inside = f"{steps(told.step - told.entered)} steps and {told.episodes:,} episodes in it"
    said: Said = [
        (
            "step",
            [
                (steps(told.step), "bold"),
                *([(f"the last before {steps(told.asked)}", "")] if told.step != told.asked else []),
            ],
        ),
        ("stage", [(clean(told.stage), "bold"), (f"entered at {steps(told.entered)}", ""), (inside, "")]),
        ("performance", [(score(told.performance), "")]),
    ]
    if told.trace:
        said.insert(0, ("trace", [(clean(told.trace), "")]))
    said.append(("waiting for", [term_part(term) for term in told.terms] or [("nothing: it is not left", "")]))
    return [*said, ("then", [(clean(told.decided) or "it stayed", "")])]


def _suggested(told: Suggestion) -> Said:
    share = f"{told.false_exits} of {told.exits} exits were false" if told.exits else "no exit could be judged"
    return [("false exits", [(share, "")]), *(("because", [(clean(reason), "")]) for reason in told.reasons)]


def _panel(said: Said, width: int) -> Text:
    return joined(line for label, parts in said for line in labelled(label, parts, width))


def _text(said: Said) -> str:
    return "\n".join(f"{label:<12} {'; '.join(text for text, _ in parts)}".rstrip() for label, parts in said)
