"""A page that is one file: text, tables, a chart's data, and the style and the script that show it.

Nothing is fetched: the page forbids it to itself. Its charts are SVG drawn by `report.js`, some 300 lines, and not by
plotly, whose script alone is 4.6 MB and whose charts cannot be walked by keyboard.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from xml.etree.ElementTree import Element

from stagectl import __version__
from stagectl.view.report.html import Cell, Child, tag, written

COLOURS = 8


@dataclass(frozen=True)
class Section:
    """A part of the page, with a heading to go to."""

    id: str
    heading: str
    parts: Sequence[Child]


@dataclass(frozen=True)
class Palette:
    """The colour of each stage: the same wherever its name stands, on one page."""

    names: tuple[str, ...]

    def number(self, name: str) -> int:
        return self.names.index(name) % COLOURS if name in self.names else COLOURS - 1

    def stage(self, name: str, shown: str | None = None) -> Element:
        """A stage's name, with its colour before it."""
        return tag("span", shown or name, class_=f"stage s{self.number(name)}")


def page(
    title: str, kicker: str, answer: Sequence[Cell], facts: Sequence[tuple[str, Cell]], sections: Sequence[Section]
) -> str:
    """The whole page: what it is about, the answer in one sentence, facts beside it, and the sections."""
    style, script = _asset("report.css"), _asset("report.js")
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {_hash(script)}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=f"stagectl {__version__}"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", style),
    )
    shown = [section for section in sections if any(part is not None for part in section.parts)]
    links = [tag("a", section.heading, href=f"#{section.id}") for section in shown]
    toggle = tag("button", "dark", type="button", class_="theme", aria_label="dark colours", aria_pressed="false")
    body = tag(
        "body",
        tag("a", "to the answer", href="#answer", class_="skip"),
        tag("header", tag("p", kicker, class_="kicker"), tag("nav", *links, aria_label="sections"), toggle),
        tag(
            "main",
            tag("h1", *answer, id="answer", tabindex="-1"),
            tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts), class_="facts"),
            *(_section(section) for section in shown),
        ),
        tag("footer", f"stagectl {__version__}"),
        tag("script", script),
    )
    return f"<!doctype html>\n{written(tag('html', head, body, lang='en'))}\n"


def foldable(summary: str, part: Element, *, open_: bool) -> Element:
    """A part that can be folded away; where it is long it is at first."""
    return tag("details", tag("summary", summary), part, open=open_)


def _section(section: Section) -> Element:
    heading = tag("h2", section.heading, id=f"{section.id}-heading")
    return tag("section", heading, *section.parts, id=section.id, aria_labelledby=f"{section.id}-heading")


def _asset(name: str) -> str:
    return files("stagectl.view.report").joinpath(name).read_text("utf-8")


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
