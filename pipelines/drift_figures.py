"""Draws a look for drift: how near each alarm came, and what the features that moved look like."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from backtest.drawing import INK, LOSS, SOFT, STYLE, WIN, sheet_of, svg
from live.feature_drift import FeatureShift
from live.symbol_drift import Looked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS: Final = 3
_ROW_IN: Final = 1.75
_MOST_FEATURES: Final = 9
_EACH: Final = 3
# Below a ten thousandth of the threshold a path says nothing.
_FLOOR: Final = -5.0
_BINS: Final = 24
_OF_TEST = {"accuracy": (WIN, "-", "accuracy"), "log_loss": (LOSS, "-", "probabilities")}


def draw(looked: Mapping[str, Looked]) -> dict[str, str]:
    """Return SVG elements by name: `paths`, and `features` where one moved.

    Draws to memory; touches no display and no pyplot state.
    """
    import matplotlib

    found: dict[str, str] = {}
    told = {symbol: one for symbol, one in looked.items() if len(one.outcome.t1_N)}
    moved = [
        (symbol, one, shift)
        for symbol, one in looked.items()
        if one.features is not None
        for shift in one.features.moved[:_EACH]
    ]
    with matplotlib.rc_context(STYLE):
        if told:
            found["paths"] = svg("paths", _draw_paths(told))
        if moved:
            found["features"] = svg("features", _draw_features(moved[:_MOST_FEATURES]))
    return found


def _grid(n: int) -> "tuple[Figure, list[Axes]]":
    n_rows = -(-n // COLUMNS)
    height = _ROW_IN * n_rows + 0.5
    sheet = sheet_of(height)
    left, gap, bottom = 0.07, 0.055, 0.48 / height
    width = (0.99 - left - gap * (COLUMNS - 1)) / COLUMNS
    each = (1.0 - bottom) / n_rows
    axes = []
    for number in range(n):
        row, column = divmod(number, COLUMNS)
        place = (left + column * (width + gap), bottom + (n_rows - 1 - row) * each + 0.22 * each)
        axes.append(sheet.add_axes((*place, width, each * 0.6)))
    return sheet, axes


def _draw_paths(looked: Mapping[str, Looked]) -> "Figure":
    sheet, grid = _grid(len(looked))
    for axes, (symbol, one) in zip(grid, looked.items(), strict=True):
        n_signals = max(one.later.n_whole, 1)
        for test in one.outcome.tests:
            colour, line, label = _OF_TEST[test.name]
            at_N = one.outcome.position_N[: len(test.detected.statistic_N)] + 1
            share_N = test.detected.statistic_N / test.threshold
            path_N = np.maximum(np.log10(np.maximum(share_N, 1e-12)), _FLOOR)
            axes.plot(at_N, path_N, color=colour, linewidth=1.1, linestyle=line, label=label)
            if test.detected.alarm is not None:
                axes.plot(at_N[-1:], path_N[-1:], "o", color=colour, markersize=5)
        if one.features is not None and one.features.moved:
            label = "features moved"
            axes.axvline(one.features.last + 1, color=INK, linewidth=1, linestyle=":", label=label)
        axes.axhline(0.0, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlim=(0, n_signals), ylim=(_FLOOR, 0.6), yticks=(-4, -2, 0))
        axes.set_yticklabels(("1/10,000", "1/100", "alarm"), fontsize=7.5)
        axes.tick_params(axis="x", labelsize=8)
        axes.set_title(symbol, fontsize=9.5, loc="left", pad=3)
        axes.grid(visible=True, axis="y", color=SOFT, alpha=0.25, linewidth=0.6)
    _legend(sheet, grid)
    return sheet


def _draw_features(moved: "list[tuple[str, Looked, FeatureShift]]") -> "Figure":
    sheet, grid = _grid(len(moved))
    for axes, (symbol, one, shift) in zip(grid, moved, strict=True):
        f = one.later.names_F.index(shift.name)
        if isinstance(one.training_NF, str) or one.features is None:
            continue
        before_N = one.training_NF[:, f]
        now_N = one.later.x_NF[one.features.first : one.features.last + 1, f]
        edges = np.linspace(*_limits(before_N, now_N), _BINS + 1)
        for x_N, colour, label in ((before_N, WIN, "training"), (now_N, LOSS, "now")):
            share_B = np.histogram(np.clip(x_N, edges[0], edges[-1]), edges)[0] / len(x_N)
            axes.stairs(share_B, edges, color=colour, fill=True, alpha=0.3)
            axes.stairs(share_B, edges, color=colour, linewidth=1.2, label=label)
        axes.set(xlim=(edges[0], edges[-1]), yticks=())
        axes.tick_params(axis="x", labelsize=8)
        title = f"{symbol} {shift.name}  PSI {shift.psi:.2f}"
        axes.set_title(title, fontsize=9, loc="left", pad=3)
    _legend(sheet, grid)
    return sheet


def _limits(*samples: np.ndarray) -> tuple[float, float]:
    """Return limits that hold all but the outermost of the samples."""
    low = min(float(np.quantile(one, 0.005)) for one in samples)
    high = max(float(np.quantile(one, 0.995)) for one in samples)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _legend(sheet: "Figure", grid: "list[Axes]") -> None:
    labels: dict[Any, Any] = {}
    for axes in grid:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            labels.setdefault(label, handle)
    sheet.legend(
        list(labels.values()), list(labels), frameon=False, loc="lower right", ncols=3, fontsize=9
    )
