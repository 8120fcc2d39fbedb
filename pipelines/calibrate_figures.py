"""Draws how often what was said came true, before and after, and what the maps do.

Axes: B bins.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from backtest.drawing import INK, LOSS, SOFT, STYLE, WIN, sheet_of, svg
from live.calibrating import Judgement
from models.calibration import Calibration
from pipelines.calibrate_records import n_bins, name_of
from selection.metrics import ReliabilityBin, log_odds, reliability_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PER_ROW = 4
_ROW_IN = 2.75
_MOST_LETTERS = 24
_TWO_SIDED_95 = 1.96


def draw(judgements: Sequence[Judgement]) -> dict[str, str]:
    """Return SVG elements by name: `reliability`, and `maps` where one is adopted.

    Without anything judged there is none.
    """
    import matplotlib

    figures: dict[str, str] = {}
    judged = [one for one in judgements if one.best is not None]
    mapped = [one for one in judged if one.calibration is not None]
    with matplotlib.rc_context(STYLE):
        if judged:
            figures["reliability"] = svg("reliability", _reliability(judged))
        if mapped:
            figures["maps"] = svg("maps", _maps(mapped))
    return figures


def _panels(judgements: Sequence[Judgement]) -> "tuple[Figure, list[Axes]]":
    """Return a sheet with a square panel for each judgement."""
    n_rows = math.ceil(len(judgements) / _PER_ROW)
    sheet = sheet_of(_ROW_IN * n_rows + 0.35)
    height = sheet.get_figheight()
    found = []
    for k, one in enumerate(judgements):
        row, column = divmod(k, _PER_ROW)
        left, width = 0.055 + column * 0.24, 0.205
        bottom = 1 - ((row + 1) * _ROW_IN - 0.35) / height
        axes = sheet.add_axes((left, bottom, width, 1.85 / height))
        title = name_of(one)
        axes.set_title(
            title if len(title) <= _MOST_LETTERS else f"{title[: _MOST_LETTERS - 1]}…",
            fontsize=10,
            loc="left",
        )
        found.append(axes)
    return sheet, found


def _reliability(judgements: Sequence[Judgement]) -> "Figure":
    sheet, panels = _panels(judgements)
    for one, axes in zip(judgements, panels, strict=True):
        best = one.best
        if best is None:
            continue
        before = reliability_bins(one.y_N, one.p_live_N, n_bins(one))
        after = reliability_bins(one.y_N, best.p_N, n_bins(one))
        low, high = _frame(before, after)
        axes.plot((low, high), (low, high), color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
        _points(axes, before, LOSS, "x", "before")
        _points(axes, after, WIN, "o", "after")
        axes.set(xlim=(low, high), ylim=(low, high))
    panels[0].set(xlabel="probability said", ylabel="win rate")
    sheet.legend(
        *panels[0].get_legend_handles_labels(),
        frameon=False,
        loc="lower right",
        ncols=2,
        fontsize=9,
    )
    return sheet


def _points(
    axes: "Axes", bins: Sequence[ReliabilityBin], colour: str, marker: str, label: str
) -> None:
    p_B, won_B, n_B = (
        np.array([one[name] for one in bins], dtype=np.float64)
        for name in ("mean_probability", "win_rate", "n")
    )
    # Of the rate that the bin would have if it were right: also where none or all have won.
    half_B = _TWO_SIDED_95 * np.sqrt(p_B * (1 - p_B) / n_B)
    axes.vlines(p_B, won_B - half_B, won_B + half_B, color=colour, linewidth=0.8, alpha=0.5)
    axes.plot(p_B, won_B, marker, color=colour, markersize=4, linestyle="none", label=label)


def _frame(*drawn: Sequence[ReliabilityBin]) -> tuple[float, float]:
    values = [
        value
        for bins in drawn
        for one in bins
        for value in (one["mean_probability"], one["win_rate"])
    ]
    return max(min(values) - 0.08, -0.02), min(max(values) + 0.08, 1.02)


def _maps(judgements: Sequence[Judgement]) -> "Figure":
    sheet, panels = _panels(judgements)
    for one, axes in zip(judgements, panels, strict=True):
        own_N = np.sort(Calibration.none()(one.log_odds_N))
        low, high = max(float(own_N[0]) - 0.03, 0.001), min(float(own_N[-1]) + 0.03, 0.999)
        said = np.linspace(low, high, 200)
        if one.calibration is not None:
            mapped = one.calibration(log_odds(said))
            axes.plot(said, mapped, color=WIN, linewidth=1.5)
            low, high = min(low, float(mapped.min())), max(high, float(mapped.max()))
        axes.plot((low, high), (low, high), color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
        for threshold in np.unique(one.threshold_N):
            axes.axhline(threshold, color=INK, linewidth=0.8, linestyle=":")
        axes.set(xlim=(low, high), ylim=(low, high))
    panels[0].set(xlabel="what the model says", ylabel="acted on")
    return sheet
