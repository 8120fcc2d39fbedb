"""Draws a replay as SVG that takes its colours from the page it stands in.

Axes: T steps, N trades, H hours.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from backtest.drawing import INK, LOSS, SOFT, STYLE, WIN, sheet_of, svg
from backtest.estimates import FloatArray
from backtest.stats import TradeStatistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_POINTS = 800
# More marks than that are drawn as pixels.
_MOST_MARKS = 1500
_SHOWN = 0.995
_BIN_R = 0.25
# A number of more digits has no room at an axis.
_LONG = 1e7


def draw(
    trades: pl.DataFrame, equity: pl.DataFrame, by_hour: Mapping[str, TradeStatistics]
) -> dict[str, str]:
    """Return SVG elements by name: `equity`, `r`, `excursions` and `hours`.

    Without steps there is no `equity`; without trades there is nothing else. Draws to memory;
    touches no display, no setting and no pyplot state. The same input gives the same text.
    """
    import matplotlib

    figures: dict[str, str] = {}
    with matplotlib.rc_context(STYLE):
        if equity.height:
            figures["equity"] = svg("equity", _draw_equity(equity))
        if trades.height:
            figures["r"] = svg("r", _draw_r(trades["r_multiple"].to_numpy()))
            figures["excursions"] = svg("excursions", _draw_excursions(trades))
            figures["hours"] = svg("hours", _draw_hours(by_hour))
    return figures


def _draw_equity(equity: pl.DataFrame) -> "Figure":
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    sheet = sheet_of(4.6)
    above, below = sheet.add_axes((0.1, 0.4, 0.88, 0.56)), sheet.add_axes((0.1, 0.1, 0.88, 0.24))
    few = equity[_telling(equity["equity"].to_numpy())]
    time_T = few["time"].dt.replace_time_zone(None).to_numpy()
    above.plot(time_T, few["equity"].to_numpy(), color=WIN, linewidth=1.2)
    above.axhline(equity["equity"][0], color=SOFT, linewidth=0.8, linestyle=(0, (4, 3)))
    above.set(ylabel="equity")
    pattern = ",.0f" if few["equity"].abs().max() < _LONG else ".3g"
    above.yaxis.set_major_formatter(lambda value, _: f"{value:{pattern}}")
    falls = few["drawdown"].to_numpy() * -100
    below.fill_between(time_T, falls, color=LOSS, alpha=0.35, linewidth=0)
    below.plot(time_T, falls, color=LOSS, linewidth=0.8)
    below.set(ylabel="drawdown, %", ylim=(min(float(falls.min()) * 1.08, -0.1), 0))
    for axes in (above, below):
        locator: Any = AutoDateLocator(minticks=3)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        axes.set_xlim(*_wide(time_T))
        axes.grid(visible=True, axis="y", color=SOFT, alpha=0.25, linewidth=0.6)
    above.tick_params(labelbottom=False)
    above.xaxis.get_offset_text().set_visible(False)
    return sheet


def _telling(value_T: FloatArray) -> Any:
    """Return the steps to draw: of each of some hundred stretches the first, lowest and highest."""
    n = len(value_T)
    if n <= 3 * _MOST_POINTS:
        return np.arange(n)
    edges = np.linspace(0, n, _MOST_POINTS + 1).astype(np.int64)
    kept = [np.array((0, n - 1)), edges[:-1]]
    for start, end in pairwise(edges):
        stretch = value_T[start:end]
        kept.append(start + np.array((stretch.argmin(), stretch.argmax())))
    return np.unique(np.concatenate(kept))


def _wide(time_T: Any) -> tuple[Any, Any]:
    """Return the limits of a time axis; one moment has no width."""
    day = np.timedelta64(1, "D")
    first, last = time_T[0], time_T[-1]
    return (first, last) if last - first >= day else (first - day, last + day)


def _draw_r(r_N: FloatArray) -> "Figure":
    sheet = sheet_of(3.2)
    axes = sheet.add_axes((0.1, 0.17, 0.88, 0.78))
    # At least from -1.5 R to 2 R; what lies beyond the frame stands in the outermost bins.
    low = np.floor(min(-1.5, float(np.quantile(r_N, 1 - _SHOWN))) / _BIN_R) * _BIN_R
    high = np.ceil(max(2.0, float(np.quantile(r_N, _SHOWN))) / _BIN_R) * _BIN_R
    # Of very far limits, wider bins; 0 stays an edge.
    width = _BIN_R * max(1, int(np.ceil((high - low) / _BIN_R / 120)))
    edges = np.arange(np.floor(low / width), np.ceil(high / width) + 1) * width
    inside_N = np.clip(r_N, edges[0], edges[-1])
    lost, won = inside_N[r_N <= 0], inside_N[r_N > 0]
    n_lost, n_won = np.histogram(lost, edges)[0], np.histogram(won, edges)[0]
    at, broad = edges[:-1], width * 0.92
    axes.bar(at, n_lost, broad, align="edge", color=LOSS, alpha=0.75, label="losers", hatch="///")
    axes.bar(at, n_won, broad, n_lost, align="edge", color=WIN, label="winners")
    mean = float(r_N.mean())
    axes.axvline(mean, color=INK, linewidth=1.2, linestyle="--", label=f"mean {mean:+.3f} R")
    axes.set(xlabel="net result of a trade, R", ylabel="trades", xlim=(edges[0], edges[-1]))
    _whole_numbers(axes)
    axes.legend(frameon=False, loc="upper right")
    return sheet


def _draw_excursions(trades: pl.DataFrame) -> "Figure":
    sheet = sheet_of(4.4)
    axes = sheet.add_axes((0.1, 0.12, 0.88, 0.84))
    against_N, for_N = -trades["mae_r"].to_numpy(), trades["mfe_r"].to_numpy()
    won_N = trades["pnl"].to_numpy() > 0
    many = trades.height > _MOST_MARKS
    marks = ((won_N, "o", WIN, "winners"), (~won_N, "x", LOSS, "losers"))
    for kept_N, marker, colour, name in marks:
        axes.scatter(
            against_N[kept_N],
            for_N[kept_N],
            s=12 if many else 24,
            marker=marker,
            color=colour,
            alpha=0.35 if many else 0.75,
            linewidths=0.8,
            label=f"{name} ({int(kept_N.sum()):,})",
            rasterized=many,
        )
    axes.set(xlim=_frame(against_N), ylim=_frame(for_N))
    axes.set(xlabel="maximum adverse excursion, R", ylabel="maximum favourable excursion, R")
    axes.grid(visible=True, color=SOFT, alpha=0.25, linewidth=0.6)
    legend = axes.legend(frameon=False, loc="upper right")
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)
    return sheet


def _frame(value_N: FloatArray) -> tuple[float, float]:
    most = max(1.0, float(np.quantile(value_N, _SHOWN)))
    return -0.03 * most, 1.05 * most


def _draw_hours(by_hour: Mapping[str, TradeStatistics]) -> "Figure":
    sheet = sheet_of(3.6)
    above, below = sheet.add_axes((0.1, 0.46, 0.88, 0.5)), sheet.add_axes((0.1, 0.13, 0.88, 0.25))
    for hour, one in by_hour.items():
        mean = one.expectancy_r
        if mean.low is not None and mean.high is not None:
            above.vlines(int(hour), mean.low, mean.high, color=WIN, linewidth=2)
        full = "none" if mean.low is None else WIN
        above.plot(int(hour), mean.value or 0.0, "o", color=WIN, markerfacecolor=full)
    above.axhline(0, color=INK, linewidth=0.8)
    above.set(ylabel="expectancy, R", xlim=(-0.6, 23.6), xticks=range(24))
    above.tick_params(labelbottom=False)
    hours, counts = [int(hour) for hour in by_hour], [one.n_trades for one in by_hour.values()]
    below.bar(hours, counts, color=SOFT)
    below.set(ylabel="trades", xlabel="hour of entry, UTC", xlim=(-0.6, 23.6), xticks=range(24))
    _whole_numbers(below)
    return sheet


def _whole_numbers(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
