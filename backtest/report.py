"""The page of a replay: one HTML file that needs nothing but itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from backtest import figures
from backtest.comparison import Comparison
from backtest.comparison_words import difference_rows, policy_rows, unpaired, verdicts
from backtest.effect_figures import draw_effects
from backtest.estimates import FEWEST_BLOCKS, FEWEST_TRADES, Estimate
from backtest.headline import (
    MISSING,
    headline,
    in_words,
    interval_in_words,
    number_in_words,
    reading,
)
from backtest.replayed import Replayed
from backtest.stats import Statistics, TradeStatistics
from exits.effects import Effect
from selection.atomic import write_bytes_atomically

Plain = str | int | float | bool | None

_TABLES: Final = {
    "segment": "By what the choice of the models has seen",
    "symbol": "By symbol",
    "exit_reason": "By exit reason",
    "exit_rule": "By exit rule",
    "side": "By side",
    "prediction_source": "By source of the exit parameters",
}
# Of a drawn interval, in the units of its own picture.
_WHISKER_WIDTH = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedPart:
    """One form of a comparison: its heading, how it was made, and what it found."""

    title: str
    note: str
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContext:
    """What the page says of a replay beside its numbers.

    Attributes
    ----------
    title
        First line of the page.
    manifest, manifest_digest
        The deployment manifest that named the models, and its SHA-256.
    policy
        Where the exit parameters came from.
    period
        What was replayed; without it, the time from the first to the last step.
    models
        The model that was traded, by symbol.
    not_traded
        Why a symbol was not traded, by symbol.
    settings
        Settings by heading ("costs", "account", ...), then by name.
    currency
        Of the account, as it is to stand behind an amount.
    simulated
        The bars are simulated.
    chosen_by_hand
        Symbols whose model was not deployed, and traded all the same.
    holdout_openings
        How often a holdout was opened that is shown, this replay included: "opened once", by
        symbol.
    warnings
        What else a reader must know first.
    compared
        Policies side by side; the verdicts are those of the first.
    falls
        How many decisions a rung of the ladder could not make, by cause.
    effects
        What was moved most from the defaults.
    """

    title: str
    manifest: str
    manifest_digest: str
    policy: str
    period: str = ""
    models: Mapping[str, str] = field(default_factory=dict)
    not_traded: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, Plain]] = field(default_factory=dict)
    currency: str = ""
    simulated: bool = False
    chosen_by_hand: Sequence[str] = ()
    holdout_openings: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    compared: Sequence[ComparedPart] = ()
    falls: Mapping[str, int] = field(default_factory=dict)
    effects: Sequence[Effect] = ()


def write_report(
    path: Path, replayed: Replayed, statistics: Statistics, context: ReportContext
) -> None:
    """Write the page, whole or not at all; the same replay gives the same bytes.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    write_bytes_atomically(path, render(replayed, statistics, context).encode())


def render(replayed: Replayed, statistics: Statistics, context: ReportContext) -> str:
    """Return the page's HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("backtest", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = figures.draw(replayed.trades, replayed.equity, statistics.groups["hour"])
    effects = draw_effects(context.effects)
    return environment.get_template("report.html.jinja").render(
        context=context,
        statistics=statistics,
        period=context.period or _period(replayed.equity),
        reading=reading(statistics),
        rows=headline(statistics),
        warnings=warnings_of(statistics, context),
        # Drawn here, of numbers: nothing in them comes from outside.
        figures={name: Markup(svg) for name, svg in (drawn | effects).items()},  # noqa: S704
        tables=_tables(statistics),
        compared=[_compared(one) for one in context.compared],
        verdicts=verdicts(context.compared[0].comparison) if context.compared else [],
        effects=[{"name": state, "words": state} for state in effects],
        sources=_sources(statistics),
        settings={
            heading: {name: _plain(value) for name, value in values.items()}
            for heading, values in context.settings.items()
        },
        skipped={name: n for name, n in statistics.skipped.items() if n},
        fewest_trades=FEWEST_TRADES,
        fewest_blocks=FEWEST_BLOCKS,
        n_bars=replayed.n_bars,
    )


def _compared(part: ComparedPart) -> dict[str, Any]:
    one = part.comparison
    return {
        "title": part.title,
        "note": part.note,
        "policies": policy_rows(one),
        "differences": difference_rows(one),
        "unpaired": unpaired(one),
        "method": f"{one.confidence:.0%} intervals: {one.n_resamples:,} draws of {one.n_blocks} "
        f"blocks of a {one.block} of entry, the same ones for all",
    }


def _sources(statistics: Statistics) -> list[dict[str, str]]:
    """Return who decided how often, and what came of the trades that it has entered."""
    n_decisions = sum(statistics.decisions.values())
    trades = statistics.groups["prediction_source"]
    lines = []
    for source, n in statistics.decisions.items():
        one = trades.get(source)
        lines.append(
            {
                "name": source,
                "decisions": f"{n:,}",
                "share": f"{n / n_decisions:.1%}",
                "trades": "0" if one is None else f"{one.n_trades:,}",
                "pnl": MISSING if one is None else f"{one.pnl:+,.2f}",
                "total_r": MISSING if one is None else f"{one.total_r:+,.1f}",
            }
        )
    return lines


def warnings_of(statistics: Statistics, context: ReportContext) -> list[str]:
    """Return what a reader must know before the numbers, one sentence each."""
    found = [
        "The market is simulated: these numbers say nothing about a real one."
        if context.simulated
        else "",
        f"Not deployed, but chosen by hand: {', '.join(context.chosen_by_hand)}."
        if context.chosen_by_hand
        else "",
        _touched(context.holdout_openings),
        _few(statistics.trades.n_trades),
        *context.warnings,
    ]
    return [one for one in found if one]


def _touched(openings: Mapping[str, str]) -> str:
    if not openings:
        return ""
    listed = "; ".join(f"{symbol}: {words}" for symbol, words in openings.items())
    return f"What is seen of a holdout no longer counts as unseen. {listed}."


def _few(n_trades: int) -> str:
    if n_trades >= FEWEST_TRADES:
        return ""
    if not n_trades:
        return "Not one trade was closed."
    closed = "one trade" if n_trades == 1 else f"{n_trades} trades"
    return f"Only {closed}: with fewer than {FEWEST_TRADES}, chance says more than they do."


def _period(equity: pl.DataFrame) -> str:
    if not equity.height:
        return "no bars"
    first, last = (f"{equity['time'][place]:%Y-%m-%d %H:%M}" for place in (0, -1))
    return f"{first} to {last} UTC"


def _plain(value: Plain) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e5 else f"{value}"


def _tables(statistics: Statistics) -> list[dict[str, Any]]:
    return [
        {"name": name, "title": title, "lines": _lines(statistics, name)}
        for name, title in _TABLES.items()
        # Of one segment the warnings say all.
        if len(statistics.groups[name]) > (name == "segment")
    ]


def _lines(statistics: Statistics, name: str) -> list[dict[str, Any]]:
    """Return a table's lines, those with most trades first."""
    groups = statistics.groups[name]
    reach = _reach([one.expectancy_r for one in groups.values()])
    order = sorted(groups.items(), key=lambda item: (-item[1].n_trades, item[0]))
    return [_line(value, one, statistics.trades.n_trades, reach) for value, one in order]


def _line(
    value: str, one: TradeStatistics, n_all: int, reach: tuple[float, float]
) -> dict[str, Any]:
    return {
        "name": value or "(none)",
        "n_trades": f"{one.n_trades:,}",
        "share": f"{one.n_trades / n_all:.1%}",
        "width": round(100 * one.n_trades / n_all, 2),
        "win_share": in_words(one.win_share, ".1%"),
        "expectancy": in_words(one.expectancy_r, "+.3f"),
        "interval": interval_in_words(one.expectancy_r, "+.2f"),
        "why": one.expectancy_r.why,
        "whisker": _whisker(one.expectancy_r, reach),
        "profit_factor": in_words(one.profit_factor, ".2f"),
        "total_r": f"{one.total_r:+,.1f}",
        "mae": number_in_words(one.mean_mae_r, "+.2f"),
        "mfe": number_in_words(one.mean_mfe_r, "+.2f"),
        "cost": number_in_words(one.mean_cost_r, ".3f"),
        "hours": number_in_words(one.mean_hours_held, ",.1f"),
    }


def _reach(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Return the ends of what is drawn of a table's intervals; zero lies within."""
    ends = [end for one in estimates for end in (one.value, one.low, one.high) if end is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _whisker(estimate: Estimate, reach: tuple[float, float]) -> dict[str, float | None]:
    """Return where zero, value and interval lie in a table's small pictures."""
    start, end = reach

    def place(value: float | None) -> float | None:
        return None if value is None else round(_WHISKER_WIDTH * (value - start) / (end - start), 2)

    return {
        "zero": place(0.0),
        "value": place(estimate.value),
        "low": place(estimate.low),
        "high": place(estimate.high),
        "width": _WHISKER_WIDTH,
    }
