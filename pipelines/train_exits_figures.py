"""Draws how a learning went: its losses by epoch."""

from collections.abc import Mapping, Sequence

from backtest.drawing import LOSS, SOFT, STYLE, WIN, sheet_of, svg

# Curves by name: label and colour; others are not drawn.
_DRAWN = {"train_loss": ("in training", SOFT), "val_loss": ("held back", WIN)}


def draw_curves(curves: Mapping[str, Sequence[float]], best_epoch: int) -> str:
    """Return losses by epoch as an SVG element; the epoch (from 1) that was kept is marked."""
    import matplotlib
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context(STYLE):
        sheet = sheet_of(3.2)
        axes = sheet.add_axes((0.1, 0.17, 0.88, 0.78))
        for name, (label, colour) in _DRAWN.items():
            value = curves.get(name, ())
            axes.plot(range(1, len(value) + 1), value, color=colour, linewidth=1.5, label=label)
        axes.axvline(best_epoch, color=LOSS, linewidth=1, linestyle="--", label="kept")
        axes.set(xlabel="epoch", ylabel="weighted loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, axis="y", color=SOFT, alpha=0.25, linewidth=0.6)
        axes.legend(frameon=False, loc="upper right")
        return svg("curves", sheet)
