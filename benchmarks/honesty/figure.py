"""The rates and their intervals as a picture."""

import io
from collections.abc import Sequence
from typing import Any

from benchmarks.honesty.grids import MOST_FALSE_DEPLOYS, RULES
from benchmarks.honesty.report import Rate, Summary

# Okabe and Ito's colours, told apart by everybody, one per rule.
COLOURS = dict(zip(RULES, ("#0072B2", "#009E73", "#D55E00"), strict=True))
PROMISE_COLOUR = "#444444"
ROW_INCHES = 0.28
# Rates of noise are small where all is well: their axis ends where the intervals do.
NARROWEST = 0.2


def figure_png(found: Sequence[Summary]) -> bytes:
    """Return a picture of false deploys on the left and powers on the right, as PNG."""
    from matplotlib.figure import Figure

    nulls = [one for one in found if one.is_null]
    signals = [one for one in found if not one.is_null]
    height = 1.8 + ROW_INCHES * max(len(nulls), len(signals), 4)
    figure = Figure(figsize=(13, height), layout="constrained")
    left, right = figure.subplots(1, 2)
    _points(left, [(_label(one), one.runs, one.rule) for one in nulls])
    left.set_xlim(-0.01, max([NARROWEST, *(one.runs.interval[1] + 0.02 for one in nulls)]))
    left.axvline(MOST_FALSE_DEPLOYS, color=PROMISE_COLOUR, linestyle="--", linewidth=1)
    left.set_title("Noise: runs of 11 symbols that deployed anything", loc="left")
    left.set_xlabel(f"share of runs, 95% interval; dashed: at most {MOST_FALSE_DEPLOYS:.0%}")
    _points(right, [(_label(one), one.symbols, one.rule) for one in signals])
    promised = [(one.promised, row) for row, one in enumerate(signals) if one.promised is not None]
    if promised:
        right.scatter(*zip(*promised, strict=True), marker="|", s=220, color=PROMISE_COLOUR)
    right.set_title("Signals: symbols that were deployed", loc="left")
    right.set_xlabel("share of symbols, 95% interval; marks: at least so many")
    _legend(figure, found)
    png = io.BytesIO()
    figure.savefig(png, dpi=150)
    return png.getvalue()


def _label(one: Summary) -> str:
    return f"{one.label}, {one.n_rows} rows"


def _points(axes: Any, rows: Sequence[tuple[str, Rate, str]]) -> None:
    """Draw one point with its interval per row, the first on top."""
    for row, (_, rate, rule) in enumerate(rows):
        low, high = rate.interval
        axes.plot([low, high], [row, row], color=COLOURS[rule], linewidth=1.6)
        axes.plot([rate.share], [row], "o", color=COLOURS[rule], markersize=5)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _legend(figure: Any, found: Sequence[Summary]) -> None:
    from matplotlib.lines import Line2D

    rules = [rule for rule in COLOURS if rule in {one.rule for one in found}]
    handles = [Line2D([], [], color=COLOURS[rule], marker="o", label=rule) for rule in rules]
    if len(rules) > 1:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(rules), frameon=False)
