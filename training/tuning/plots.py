"""Draws what a study's trials show: history, importances, parallel coordinates and slices.

Optuna draws; here the pictures get room, so that ten hyperparameters can be read on 1,200 pixels.
"""

import io
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selection.atomic import write_bytes_atomically
from training.tuning.storage import quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from optuna import Study

OBJECTIVE = "objective"
_TITLES = {
    "history": "best objective so far",
    "importances": "which hyperparameters the objective depends on",
    "parallel_coordinates": "all completed trials, the best ones dark",
    "slices": "objective by hyperparameter",
}
# With fewer, the best tenth is a single trial, and its importances are chance.
FEWEST_FOR_IMPORTANCES = 20

_WIDTH_IN, _DPI = 12.0, 100
_HEADING_IN, _SLICE_IN, _SLICES_PER_ROW = 0.9, 2.9, 4
_MANY_TIMES = 500
_LONG_CHARS = 5
_STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10.0,
    "text.hinting": "none",
    "text.usetex": False,
    # Names of hyperparameters are no formulas.
    "text.parse_math": False,
}


def write_plots(
    study: "Study", folder: Path, *, symbol: str, model: str, blocks: str
) -> list[Path]:
    """Write pictures of a study's completed trials, and return those that there was enough for.

    Parameters
    ----------
    study : optuna.Study
        Of one objective that is minimised.
    folder : Path
        Made where it is missing.
    symbol, model, blocks : str
        Stand over each picture; the last says what the objective is of, as ``blocks 1 to 4``.

    Returns
    -------
    list of Path
        PNG files, 1,200 pixels wide: ``history``, ``importances``, ``parallel_coordinates`` and
        ``slices``. Without a completed trial none; hyperparameters of which only one value was
        tried are left out.
    """
    values = _objectives(study)
    varied = _varied(study)
    draw: dict[str, Callable[[], Figure]] = {}
    if values:
        draw["history"] = partial(_history, study, values)
    if len(varied) > 1 and len(values) >= FEWEST_FOR_IMPORTANCES and len(set(values)) > 1:
        draw["importances"] = partial(_importances, study, varied)
    if varied:
        draw["parallel_coordinates"] = partial(_parallel, study, varied, _top(values))
        draw["slices"] = partial(_slices, study, varied, values)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure_of in draw.items():
        with _drawing():
            figure = figure_of()
            _head(figure, f"{symbol} {model}: {_TITLES[name]}", _subtitle(values, blocks))
            written.append(folder / f"{name}.png")
            write_bytes_atomically(written[-1], _png(figure))
    return written


def _subtitle(values: list[float], blocks: str) -> str:
    n_above = sum(value > _top(values) for value in values)
    above = f", {n_above} of them above the frame, up to {max(values):.3g}" if n_above else ""
    return f"log-loss and penalty on {blocks}; {len(values)} completed trials{above}"


def _top(values: list[float]) -> float:
    """Return the highest objective to show: one bad trial would press all others into a line."""
    low, most = np.min(values), np.quantile(values, 0.9)
    return max(value for value in values if value <= most + 2 * (most - low))


def _objectives(study: "Study") -> list[float]:
    return [trial.value for trial in _completed(study) if math.isfinite(trial.value)]


def _varied(study: "Study") -> list[str]:
    """Return the hyperparameters of which more than one value was tried, in the space's order."""
    completed = [trial.params for trial in _completed(study) if math.isfinite(trial.value)]
    names = dict.fromkeys(name for params in completed for name in params)
    return [name for name in names if len({one.get(name) for one in completed}) > 1]


def _completed(study: "Study") -> list[Any]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


@contextmanager
def _drawing() -> Iterator[None]:
    """Draw to memory, and leave neither a figure nor a setting behind."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    before = set(pyplot.get_fignums())
    with matplotlib.rc_context(_STYLE), quiet(), warnings.catch_warnings():
        # A symbol may be written in letters that the font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # One value has no width; the frame is set afterwards.
        warnings.filterwarnings("ignore", message="Attempting to set identical")
        try:
            yield
        finally:
            for number in set(pyplot.get_fignums()) - before:
                pyplot.close(number)


def _history(study: "Study", values: list[float]) -> "Figure":
    from matplotlib.ticker import MaxNLocator
    from optuna.visualization.matplotlib import plot_optimization_history

    axes = plot_optimization_history(study, target_name=OBJECTIVE)
    figure = _sized(axes, 6.0)
    figure.set_layout_engine("none")
    axes.set_position((0.08, 0.1, 0.89, 0.75))
    _frame(axes, values)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper right")
    return figure


def _importances(study: "Study", varied: list[str]) -> "Figure":
    from optuna.importance import PedAnovaImportanceEvaluator
    from optuna.visualization.matplotlib import plot_param_importances

    evaluator = PedAnovaImportanceEvaluator()
    axes = plot_param_importances(
        study, evaluator=evaluator, params=varied, target_name="share (PED-ANOVA)"
    )
    figure = _sized(axes, 1.6 + 0.42 * max(len(varied), 4))
    axes.set(xlabel="share of what sets the best tenth apart (PED-ANOVA)", ylabel="")
    axes.legend([]).remove()
    axes.set_position(_below_heading(figure, left=0.17, right=0.94, bottom_in=0.65))
    return figure


def _parallel(study: "Study", varied: list[str], top: float) -> "Figure":
    from optuna.visualization.matplotlib import plot_parallel_coordinate

    def shown(trial: Any) -> float:
        return min(float(trial.value), top)

    axes = plot_parallel_coordinate(study, params=varied, target=shown, target_name="objective")
    figure = _sized(axes, 6.5)
    _, colours, *rulers = figure.axes
    # The first axis says the same.
    colours.remove()
    place = _below_heading(figure, left=0.07, right=0.95, bottom_in=0.8)
    for one in (axes, *rulers):
        one.set_position(place)
    (lines,) = axes.collections
    lines.set(cmap="viridis", linewidth=1.2, alpha=0.8)
    names = [label.get_text() for label in axes.get_xticklabels()]
    axes.set_xticks(range(len(names)), names, rotation=15, ha="right")
    axes.grid(visible=False)
    for ruler in rulers:
        ruler.grid(visible=False)
        _label_powers(ruler.yaxis)
        for label in ruler.get_yticklabels():
            # Lines cross it.
            label.set(fontsize=8, bbox={"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 0.5})
    return figure


def _slices(study: "Study", varied: list[str], values: list[float]) -> "Figure":
    from optuna.visualization.matplotlib import plot_slice

    plot = plot_slice(study, params=varied, target_name=OBJECTIVE)
    each = list(np.atleast_1d(np.asarray(plot, dtype=object)))
    n_rows = math.ceil(len(each) / _SLICES_PER_ROW)
    figure = _sized(each[0], _HEADING_IN + _SLICE_IN * n_rows)
    colours = next(one for one in figure.axes if one not in each)
    height_in = figure.get_figheight()
    for index, axes in enumerate(each):
        row, column = divmod(index, _SLICES_PER_ROW)
        bottom_in = height_in - _HEADING_IN - (row + 1) * _SLICE_IN + 0.85
        axes.set_position(
            (0.075 + 0.212 * column, bottom_in / height_in, 0.185, (_SLICE_IN - 0.95) / height_in)
        )
        axes.tick_params(labelleft=column == 0)
        axes.set_ylabel(OBJECTIVE if column == 0 else "")
        _label_powers(axes.xaxis)
        _label_choices(axes)
    _frame(each[0], values)
    colours.set_position((0.94, 0.85 / height_in, 0.012, (_SLICE_IN - 0.95) / height_in))
    return figure


def _sized(axes: "Axes", height_in: float) -> "Figure":
    """Return a picture's figure at its final size, without the titles that Optuna gave it."""
    figure: Any = axes.figure
    figure.set_size_inches(_WIDTH_IN, height_in)
    figure.set_dpi(_DPI)
    for one in figure.axes:
        for place in ("left", "center", "right"):
            one.set_title("", loc=place)
    figure.suptitle("")
    return figure  # type: ignore[no-any-return]


def _head(figure: "Figure", title: str, subtitle: str) -> None:
    height_in = figure.get_figheight()
    figure.text(0.02, 1 - 0.34 / height_in, title, fontsize=14, fontweight="bold")
    figure.text(0.02, 1 - 0.62 / height_in, subtitle, color="#606060")


def _below_heading(
    figure: "Figure", *, left: float, right: float, bottom_in: float
) -> tuple[float, float, float, float]:
    """Return the place that a heading leaves, with so much of it kept free for labels."""
    height_in = figure.get_figheight()
    return (
        left,
        bottom_in / height_in,
        right - left,
        (height_in - _HEADING_IN - bottom_in) / height_in,
    )


def _frame(axes: "Axes", values: list[float]) -> None:
    low, top = min(values), _top(values)
    margin = 0.05 * (top - low) or 0.05 * abs(top) or 1.0
    axes.set_ylim(low - margin, top + margin)


def _label_powers(axis: "Axis") -> None:
    """Write numbers on a logarithmic axis as they are configured, few enough to be read."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    if axis.get_scale() == "log":
        low, high = sorted(axis.get_view_interval())
        subs = (1.0,) if high > _MANY_TIMES * low else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())


def _label_choices(axes: "Axes") -> None:
    """Show choices as they are written, lists without the quotation marks of their text."""
    from matplotlib.category import StrCategoryLocator

    if isinstance(axes.xaxis.get_major_locator(), StrCategoryLocator):
        names = [label.get_text().strip("'") for label in axes.get_xticklabels()]
        axes.set_xticks(axes.get_xticks(), names)
        if max(map(len, names)) > _LONG_CHARS:
            axes.tick_params(axis="x", labelrotation=20, labelsize=8)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")


def _png(figure: "Figure") -> bytes:
    """Encode with 128 colours: a quarter of the bytes of all colours, in no more time."""
    from PIL.Image import Dither, Quantize, fromarray

    canvas: Any = figure.canvas
    canvas.draw()
    few = fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    few = few.quantize(128, method=Quantize.FASTOCTREE, dither=Dither.NONE)
    file = io.BytesIO()
    few.save(file, "png")
    return file.getvalue()
