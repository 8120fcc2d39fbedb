"""Draws what a person looks at of one model: confusion, reliability, learning, importance.

Axes: B bins, H rows and W columns of pixels, C colours.
"""

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracking.records import FigureData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP_FEATURES = 20

# Told apart by every kind of colour vision: Okabe and Ito (2008).
_BLUE, _RED, _GREY = "#0072B2", "#D55E00", "#707070"
_WIDTH_IN, _HEIGHT_IN, _HEADING_IN, _DPI = 8.0, 5.0, 0.6, 90
_STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    # Three quarters of the work is the drawing of letters; hinted they cost a quarter more.
    "text.hinting": "none",
    "text.usetex": False,
    # A `$` in a feature's name is no formula.
    "text.parse_math": False,
}
_Place = tuple[float, float, float, float]
_PLACES: dict[str, list[_Place]] = {
    "heading": [],
    "confusion_matrix": [(0.24, 0.13, 0.6, 0.71)],
    "reliability": [(0.09, 0.12, 0.88, 0.72)],
    "learning_curves": [(0.1, 0.12, 0.38, 0.72), (0.6, 0.12, 0.38, 0.72)],
    "importance": [(0.35, 0.1, 0.61, 0.76)],
}
_Z_95 = 1.959964
_PENS = ((_BLUE, "-"), (_RED, "--"), (_GREY, "-."))
_LABELS = {"train_loss": "training rows", "val_loss": "rows held back"}
_NAME_CHARS = 34


class FigurePainter:
    """Draws one model after another on the same four sheets.

    Most of what a picture costs is its letters, axes and ticks: the heading is drawn once for all
    pictures of a model, each sheet is made once, and only what stands on it is exchanged. Draws to
    memory; touches no display and no pyplot state.
    """

    def __init__(self) -> None:
        self._sheets: dict[str, Figure] = {}

    def paint(self, data: FigureData) -> dict[str, bytes]:
        """Return PNG files by name; those without data are left out."""
        import matplotlib

        has_curves = any(len(values) > 1 for values in data.curves.values())
        painters = {
            "confusion_matrix": _draw_confusion,
            "reliability": _draw_reliability if data.reliability else None,
            "learning_curves": _draw_curves if has_curves else None,
            "importance": _draw_importance if data.importance else None,
        }
        with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
            # A symbol's or a feature's name may be written in letters that the font lacks.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            heading = self._heading(data)
            return {
                f"{name}.png": self._painted(name, draw, data, heading)
                for name, draw in painters.items()
                if draw is not None
            }

    def _heading(self, data: FigureData) -> Any:
        sheet = self._blank("heading", _HEADING_IN)
        sheet.text(0.02, 0.58, data.title, fontsize=12, fontweight="bold")
        sheet.text(0.02, 0.12, data.subtitle, color=_GREY)
        return _pixels(sheet)

    def _painted(self, name: str, draw: Any, data: FigureData, heading: Any) -> bytes:
        sheet = self._blank(name, _HEIGHT_IN)
        sheet.figimage(heading, yo=round(_HEIGHT_IN * _DPI) - len(heading), origin="upper")
        draw(sheet.axes, data)
        return _png(_pixels(sheet))

    def _blank(self, name: str, height_in: float) -> "Figure":
        """Return the sheet of that name, empty but for its axes."""
        if name not in self._sheets:
            self._sheets[name] = _new_sheet(name, height_in)
        sheet = self._sheets[name]
        for axes in sheet.axes:
            legend = axes.get_legend()
            marks = [*axes.lines, *axes.collections, *axes.patches, *axes.texts]
            for mark in marks if legend is None else [*marks, legend]:
                mark.remove()
        for drawn in [*sheet.texts, *sheet.images]:
            drawn.remove()
        return sheet


def _new_sheet(name: str, height_in: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    sheet = Figure(figsize=(_WIDTH_IN, height_in), dpi=_DPI)
    FigureCanvasAgg(sheet)
    for place in _PLACES[name]:
        # Fixed, or every drawing measures all ticks to place a title that is not there.
        axes = sheet.add_axes(place)
        axes.set_title("", y=1.0)
        if name == "learning_curves":
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    return sheet


def _pixels(sheet: "Figure") -> Any:
    canvas: Any = sheet.canvas
    canvas.draw()
    return np.array(canvas.buffer_rgba())


def _png(rgba_HWC: Any) -> bytes:
    """Encode with 64 colours: a third of the bytes of all colours, in less time."""
    from PIL.Image import Dither, Quantize, fromarray

    few = fromarray(rgba_HWC).convert("RGB")
    few = few.quantize(64, method=Quantize.FASTOCTREE, dither=Dither.NONE)
    file = io.BytesIO()
    few.save(file, "png", compress_level=1)
    return file.getvalue()


def _draw_confusion(all_axes: "Sequence[Axes]", data: FigureData) -> None:
    from matplotlib.patches import Rectangle

    (axes,) = all_axes
    axes.set(xlim=(0, 2), ylim=(2, 0), xticks=(0.5, 1.5), yticks=(0.5, 1.5))
    axes.set_xticklabels(("answered: loses", "answered: wins"))
    axes.set_yticklabels(("lost", "won"))
    axes.tick_params(length=0)
    n_rows = sum(map(sum, data.confusion))
    for row, counts in enumerate(data.confusion):
        for column, count in enumerate(counts):
            share = count / max(sum(counts), 1)
            # Right answers blue, wrong ones red; never so dark that black is unreadable.
            colour = _BLUE if row == column else _RED
            axes.add_patch(Rectangle((column, row), 1, 1, color=colour, alpha=0.1 + 0.4 * share))
            text = f"{count}\n{share:.0%} of the row\n{count / max(n_rows, 1):.0%} of all"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=12)


def _draw_reliability(all_axes: "Sequence[Axes]", data: FigureData) -> None:
    (axes,) = all_axes
    p_B, won_B, n_B = (
        np.array(column, dtype=float) for column in zip(*data.reliability, strict=True)
    )
    low_B, high_B = wilson_interval(won_B, n_B)
    base_rate = float(np.average(won_B, weights=n_B))
    least, most = min(p_B.min(), base_rate) - 0.03, max(p_B.max(), base_rate) + 0.03
    lowest, highest = min(low_B.min(), base_rate), max(high_B.max(), base_rate)
    # Room above for the legend.
    axes.set(xlim=(least, most), ylim=(lowest - 0.02, highest + 0.3 * (highest - lowest)))
    axes.set(xlabel="mean predicted probability of a win", ylabel="share of wins")
    axes.plot((0, 1), (0, 1), color=_GREY, linewidth=1, label="perfectly calibrated")
    no_skill = f"no skill: {base_rate:.3f} for every row"
    axes.axhline(base_rate, color=_RED, linewidth=1.2, linestyle=(0, (5, 3)), label=no_skill)
    axes.vlines(p_B, low_B, high_B, color=_BLUE, linewidth=1.5)
    sizes = f"{n_B.min():.0f} to {n_B.max():.0f}"
    bins = f"{len(n_B)} bins of {sizes} rows, 95% interval if rows were independent"
    axes.plot(p_B, won_B, color=_BLUE, marker="o", markersize=6, linewidth=0.8, label=bins)
    axes.legend(loc="upper left", frameon=False, fontsize=9)


def _draw_curves(all_axes: "Sequence[Axes]", data: FigureData) -> None:
    no_skill = {"loss": data.no_skill_log_loss, "accuracy": data.no_skill_accuracy}
    n_steps = max(map(len, data.curves.values()))
    for axes, (kind, level) in zip(all_axes, no_skill.items(), strict=True):
        curves = _finite_curves(data.curves, f"_{kind}")
        seen = [level, *(value for values in curves.values() for value in values)]
        margin = 0.04 * (max(seen) - min(seen)) + 1e-3
        axes.set(xlim=(0.5, n_steps + 0.5), ylim=(min(seen) - margin, max(seen) + margin))
        axes.set(
            xlabel=f"{data.step} of the deployed fit", ylabel="log-loss" if kind == "loss" else kind
        )
        for (name, values), (colour, dash) in zip(curves.items(), _PENS, strict=False):
            steps = range(1, len(values) + 1)
            axes.plot(steps, values, color=colour, linestyle=dash, label=_LABELS.get(name, name))
        axes.axhline(
            level, color="black", linewidth=1, linestyle=":", label="no skill, out of fold"
        )
        if data.kept_step is not None:
            kept = f"kept: {data.step} {data.kept_step} of {n_steps}"
            axes.axvline(data.kept_step, color=_GREY, linewidth=1, label=kept)
    all_axes[0].legend(loc="best", frameon=False, fontsize=9)


def _finite_curves(
    curves: Mapping[str, Sequence[float]], ending: str
) -> dict[str, Sequence[float]]:
    return {
        name: values
        for name, values in curves.items()
        if name.endswith(ending) and all(math.isfinite(value) for value in values)
    }


def _draw_importance(all_axes: "Sequence[Axes]", data: FigureData) -> None:
    (axes,) = all_axes
    top = data.importance[:TOP_FEATURES]
    places = range(len(top))
    shares = [share for _, share in top]
    axes.set(ylim=(TOP_FEATURES - 0.4, -0.6), xlim=(min(0.0, *shares), max(*shares, 1e-9) * 1.1))
    axes.set(yticks=(), xlabel=f"share of importance (top {len(top)} of {len(data.importance)})")
    axes.hlines(places, 0, shares, color=_BLUE, linewidth=9)
    for place, (name, _) in zip(places, top, strict=True):
        at = axes.get_yaxis_transform()
        short = name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1]}…"
        axes.text(-0.01, place, short, transform=at, ha="right", va="center", fontsize=9)


def wilson_interval(share_B: Any, n_B: Any) -> tuple[Any, Any]:
    """Return the 95% interval of shares of n independent rows each: Wilson (1927)."""
    square_B = _Z_95**2 / n_B
    centre_B = (share_B + square_B / 2) / (1 + square_B)
    half_B = np.sqrt(square_B * (share_B * (1 - share_B) + square_B / 4)) / (1 + square_B)
    return centre_B - half_B, centre_B + half_B
