"""Elements of a page, escaped by the standard library: whatever a stage is named, it stays text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree.ElementTree import Element, tostring

from stagectl.view.words import clean

Child = Element | str | None
Cell = Element | str


def tag(name: str, /, *children: Child, **attributes: object) -> Element:
    """An element. `class_` is written `class`, `aria_label` is `aria-label`; a value of None leaves the attribute out,
    True gives it no value; a child of None is left out."""
    element = Element(name)
    for key, value in attributes.items():
        if value is not None and value is not False:
            element.set(key.rstrip("_").replace("_", "-"), "" if value is True else str(value))
    for child in children:
        _append(element, child)
    return element


def text(value: object) -> str:
    """Text that came from a recipe, a trace or a run, on one line and without control characters."""
    return clean(value)


def written(element: Element) -> str:
    """The element as HTML."""
    return tostring(element, encoding="unicode", method="html")


def embedded(data: Any) -> Element:
    """Data for the page's script. No text in it can end the element that it stands in."""
    raw = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return tag("script", raw.replace("<", "\\u003c"), type="application/json")


def table(caption: str, header: Sequence[Cell], rows: Iterable[Sequence[Cell]], right: Iterable[int] = ()) -> Element:
    """A table in a frame that scrolls by itself where the page is narrow.

    The first column heads its rows; those whose places are in `right` end flush.
    """
    ends = dict.fromkeys(right, "end")
    head = tag("tr", *(tag("th", name, scope="col", class_=ends.get(at)) for at, name in enumerate(header)))
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row", class_=ends.get(0)),
            *(tag("td", cell, class_=ends.get(at)) for at, cell in enumerate(row[1:], 1)),
        )
        for row in rows
    ]
    whole = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", *body))
    return tag("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def listed(items: Iterable[Cell], class_: str) -> Element:
    return tag("ul", *(tag("li", item) for item in items), class_=class_)


def _append(element: Element, child: Child) -> None:
    if child is None:
        return
    if isinstance(child, Element):
        element.append(child)
    elif len(element):
        element[-1].tail = (element[-1].tail or "") + child
    else:
        element.text = (element.text or "") + child
