"""Draws what decided parameters differ from their defaults by, in which state.

Axes: I bins of a state, J groups beside each other.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.drawing import INK, LOSS, SOFT, STYLE, WIDTH_IN, WIN, sheet_of, svg
from exits.effects import Effect, Means

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A mean of fewer decisions is no mean that a picture should show.
_FEWEST = 5
_ACROSS = 3
_ROW_IN = 2.5
_COLOURS = (WIN, LOSS, SOFT)
_MARKERS = ("o", "s", "^")


def draw_effects(effects: Sequence[Effect], *, prefix: str = "effect") -> dict[str, str]:
    """Return SVG elements by state: a small picture for each of the parameters.

    The same input gives the same text; without effects there is nothing.
    """
    import matplotlib

    if not effects:
        return {}
    drawn = {}
    with matplotlib.rc_context(STYLE):
        for place, means in enumerate(effects[0].by):
            paint = _cells if means.at_I is None else _lines
            sheet = _small(effects, place, paint)
            drawn[means.state] = svg(f"{prefix}{place}", sheet)
    return drawn


def _small(
    effects: Sequence[Effect], place: int, paint: Callable[["Axes", Effect, Means], None]
) -> "Figure":
    """Return a sheet with one small picture for each parameter."""
    n_rows = -(-len(effects) // _ACROSS)
    height_in = n_rows * _ROW_IN
    sheet = sheet_of(height_in)
    has_cells = effects[0].by[place].at_I is None
    # Room for names of regimes at the left, else for numbers at each picture.
    left, gap = (1.45, 0.25) if has_cells else (0.55, 0.55)
    wide = (WIDTH_IN - left - 0.1 - (_ACROSS - 1) * gap) / _ACROSS
    for k, effect in enumerate(effects):
        row, column = divmod(k, _ACROSS)
        corner = (left + column * (wide + gap), height_in - (row + 1) * _ROW_IN + 0.55)
        box = (corner[0] / WIDTH_IN, corner[1] / height_in)
        axes = sheet.add_axes((*box, wide / WIDTH_IN, (_ROW_IN - 0.9) / height_in))
        axes.set_title(effect.name, fontsize=9, loc="left")
        paint(axes, effect, effect.by[place])
        if has_cells and column:
            axes.tick_params(labelleft=False)
    return sheet


def _lines(axes: "Axes", effect: Effect, means: Means) -> None:
    """Draw a parameter's mean against a number, one line for each group."""
    at_I: Any = means.at_I
    for j, name in enumerate(means.columns):
        enough_I = means.n_IJ[:, j] >= _FEWEST
        axes.plot(
            at_I[enough_I],
            means.mean_IJ[enough_I, j],
            color=_COLOURS[j],
            marker=_MARKERS[j],
            markersize=4,
            linewidth=1.2,
            label=name,
        )
    axes.axhline(effect.default, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xlabel(means.state, fontsize=8.5, labelpad=1)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, axis="y", color=SOFT, alpha=0.25, linewidth=0.6)
    low, high = axes.get_ylim()
    least = 0.04 * (effect.high - effect.low)
    middle, half = (low + high) / 2, max(high - low, least) / 2
    axes.set_ylim(middle - 1.1 * half, middle + 1.35 * half)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper right", borderaxespad=0)


def _cells(axes: "Axes", effect: Effect, means: Means) -> None:
    """Draw a parameter's mean in every combination of two states, as shaded cells with numbers."""
    span = effect.high - effect.low
    for i in range(len(means.rows)):
        for j in range(len(means.columns)):
            mean = float(means.mean_IJ[i, j])
            if means.n_IJ[i, j] < _FEWEST or not np.isfinite(mean):
                continue
            away = (mean - effect.default) / span
            # Full colour from a quarter of the range on.
            strength = min(1.0, abs(away) / 0.25) * 0.75
            colour = WIN if away > 0 else LOSS
            _cell(axes, j, i, colour, strength)
            axes.text(j, i, f"{mean:.3g}", ha="center", va="center", fontsize=8)
    axes.set(xlim=(-0.5, len(means.columns) - 0.5), ylim=(len(means.rows) - 0.5, -0.5))
    axes.set_xticks(range(len(means.columns)), means.columns, fontsize=8)
    names = [name.replace("_", " ").capitalize() for name in means.rows]
    axes.set_yticks(range(len(means.rows)), names, fontsize=8)
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xlabel(f"default {effect.default:.3g}", fontsize=8.5, labelpad=2)


def _cell(axes: "Axes", x: float, y: float, colour: str, strength: float) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, color=colour, alpha=strength, linewidth=0))
