"""The part of the report that shows a sweep: heat maps of two keys, and the best variants."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element

from stagectl.view.answer import few_steps
from stagectl.view.report.html import Cell, Child, listed, table, tag, text
from stagectl.view.report.page import Palette
from stagectl.view.sweep import key_name, ranked, sweep_header, total_steps, value_name, variant_cells
from stagectl.view.words import NOTHING, percent

if TYPE_CHECKING:
    from stagectl.simulate.sweep import Sweep

SHOWN = 25
DENSE = 16  # columns from which cells have no figures
Index = tuple[int, ...]


def sweep_parts(sweep: Sweep, palette: Palette, rank: str) -> list[Child]:
    """Heat maps over the two longest axes, at the best variant's values of the others; the best variants; notes."""
    order = ranked(sweep, rank)
    parts: list[Child] = []
    if len(sweep.axes) > 1:
        shares = sweep.false_exit_share()
        maps = [
            _heat_map(sweep, "Steps until every stage is left", lambda at: total_steps(sweep, at), few_steps, order[0])
        ]
        if any(math.isfinite(float(shares[at])) for at in order):
            maps.append(_heat_map(sweep, "False exits", lambda at: float(shares[at]), percent, order[0]))
        parts.append(tag("div", *maps, class_="maps"))
    header = [palette.stage(name, text(name)) if name in sweep.stages else name.lower() for name in sweep_header(sweep)]
    rows = [variant_cells(sweep, at) for at in order[:SHOWN]]
    title = "Variants" if len(order) <= SHOWN else f"The best {SHOWN} of {len(order):,} variants"
    by = rank.replace("_", " ")
    parts += [tag("h3", f"{title}, by {by}"), table("variants", header, rows, range(len(header)))]
    parts.append(listed(map(text, sweep.notes), "notes") if sweep.notes else None)
    return parts


def _heat_map(
    sweep: Sweep, title: str, value: Callable[[Index], float], shown: Callable[[float], str], best: Index
) -> Element:
    """A cell a variant, its colour by its value; the best one is framed. A line below tells the cell looked at."""
    down, across = sorted(sorted(range(len(sweep.axes)), key=lambda axis: -len(sweep.axes[axis].values))[:2])
    rows, columns = sweep.axes[down], sweep.axes[across]

    def place(i: int, j: int) -> Index:
        return tuple(i if axis == down else j if axis == across else at for axis, at in enumerate(best))

    values = [[value(place(i, j)) for j in range(len(columns.values))] for i in range(len(rows.values))]
    known = [v for line in values for v in line if math.isfinite(v)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    row_name, column_name = key_name(rows.key, sweep), key_name(columns.key, sweep)
    body = []
    for i, line in enumerate(values):
        cells = []
        for j, each in enumerate(line):
            finite = math.isfinite(each)
            share = (each - low) / (high - low) if finite and high > low else 0.0
            kinds = [
                *(["best"] if place(i, j) == best else []),
                *(["never"] if not finite else ["deep"] * (share > 0.5)),
            ]
            style = f"--v:{share:.2f}" if finite else None
            cells.append(tag("td", shown(each) if finite else NOTHING, class_=" ".join(kinds) or None, style=style))
        body.append(tag("tr", tag("th", value_name(rows.values[i]), scope="row"), *cells))
    dense = len(columns.values) > DENSE
    head = [tag("th", value_name(value), scope="col") for value in columns.values]
    whole = tag(
        "table",
        tag("caption", title),
        tag("thead", tag("tr", tag("th", ""), *head)),
        tag("tbody", *body),
        class_="heat dense" if dense else "heat",
        data_down=row_name,
        data_across=column_name,
    )
    fixed = [
        f"{key_name(axis.key, sweep)} {value_name(axis.values[best[at]])}"
        for at, axis in enumerate(sweep.axes)
        if at not in (down, across)
    ]
    axes: list[Cell] = [f"{row_name} down, {column_name} across{', at ' if fixed else ''}{', '.join(fixed)}"]
    frame = tag("div", whole, class_="scroll", role="region", aria_label=title)
    readout = tag("p", "the framed variant is the best", class_="readout", role="status")
    return tag("div", tag("h3", title), tag("p", *axes, class_="quiet"), frame, readout, class_="sweep")
