"""Sheets to draw on, and SVG that takes its colours from the page it stands in."""

import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that occur nowhere else, and what the page knows them by.
INK, WIN, LOSS, SOFT = "#010203", "#0072b2", "#d55e00", "#8a8b8c"
_BY_PAGE = {
    INK: "currentColor",
    WIN: "var(--win)",
    LOSS: "var(--loss)",
    SOFT: "var(--soft)",
}
STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.usetex": False,
    "text.parse_math": False,
    # Letters stay letters: smaller, and a reader can select them.
    "svg.fonttype": "none",
    # Names within the file depend on its content alone.
    "svg.hashsalt": "assay",
}
_NO_METADATA: Any = dict.fromkeys(("Creator", "Date", "Format", "Type"))
WIDTH_IN = 9.0


def sheet_of(height_in: float) -> "Figure":
    """Return a sheet as wide as a page, and so high; touches no display and no pyplot state."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(WIDTH_IN, height_in), dpi=100)
    FigureCanvasSVG(sheet)
    return sheet


def svg(name: str, sheet: "Figure") -> str:
    """Return a figure as an SVG element, its ids its own and its colours those of the page."""
    file = io.StringIO()
    sheet.savefig(file, format="svg", dpi=160, metadata=_NO_METADATA)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    # Wide as the page; the view box keeps the proportions.
    text = re.sub(r'^(<svg[^>]*?) width="[^"]*"', r"\1", text)
    text = re.sub(r'^(<svg[^>]*?) height="[^"]*"', r"\1", text)
    text = text.replace("'DejaVu Sans'", "sans-serif")
    for colour, variable in _BY_PAGE.items():
        text = text.replace(colour, variable)
    return text.replace("<svg", '<svg aria-hidden="true"', 1)
