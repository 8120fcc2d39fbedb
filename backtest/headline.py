"""A replay's numbers in words: the rows that the console and the page put first."""

from dataclasses import dataclass

from backtest.estimates import Estimate
from backtest.sharpe import EquityStatistics
from backtest.stats import Statistics, TradeStatistics

MISSING = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One number: its name, value and interval as text, and what else is to be said of it."""

    name: str
    value: str
    interval: str = ""
    note: str = ""


def headline(statistics: Statistics) -> list[Row]:
    """Return the rows of the first table, the most telling first."""
    trades, equity = statistics.trades, statistics.equity
    percent = f"{statistics.method.confidence:.0%}"
    return [
        _row("Expectancy", trades.expectancy_r, "+.3f", " R", "mean net result of a trade"),
        _row("Profit factor", trades.profit_factor, ".2f", "", "net profits / net losses"),
        _row("Win share", trades.win_share, ".1%", "", f"{trades.n_wins} of {trades.n_trades}"),
        Row("Net profit", f"{trades.pnl:+,.2f}", "", f"{trades.total_r:+,.1f} R in all"),
        *_account(equity, percent),
        *_means(trades),
    ]


def reading(statistics: Statistics) -> str:
    """Return in one sentence whether the trades show an edge."""
    one = statistics.trades.expectancy_r
    if one.value is None:
        return "There is no trade."
    if one.low is None or one.high is None:
        return f"Nothing can be said of an edge: {one.why}."
    interval = f"{one.low:+.3f} to {one.high:+.3f} R a trade"
    if one.low > 0:
        return f"The trades made money net of costs: {interval}."
    if one.high < 0:
        return f"The trades lost money net of costs: {interval}."
    return f"No edge that could not be chance: {interval}, with zero in it."


def in_words(estimate: Estimate, pattern: str, unit: str = "") -> str:
    """Return the value as text, or `MISSING`."""
    return MISSING if estimate.value is None else f"{estimate.value:{pattern}}{unit}"


def interval_in_words(estimate: Estimate, pattern: str) -> str:
    """Return the interval as text, or nothing where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:{pattern}} to {estimate.high:{pattern}}"


def number_in_words(value: float | None, pattern: str, unit: str = "") -> str:
    """Return a number as text, or `MISSING`."""
    return MISSING if value is None else f"{value:{pattern}}{unit}"


def _row(name: str, estimate: Estimate, pattern: str, unit: str, note: str) -> Row:
    return Row(
        name,
        in_words(estimate, pattern, unit),
        interval_in_words(estimate, pattern),
        estimate.why or note,
    )


def _account(equity: EquityStatistics, percent: str) -> list[Row]:
    days = number_in_words(equity.days_per_year, ".0f")
    paths = f"interval: middle {percent} of resampled paths of daily returns"
    luck = f"probability of being better than the best of {equity.n_trials} without skill"
    if equity.n_trials == 1:
        luck = "one configuration tried: nothing to deflate"
    return [
        Row(
            "Total return",
            number_in_words(equity.total_return, "+,.1%"),
            "",
            "of the account, open positions too",
        ),
        _row("Sharpe ratio", equity.sharpe, ".2f", "", f"{equity.n_days} days, {days} a year"),
        _row(
            "Probabilistic Sharpe",
            equity.probabilistic_sharpe,
            ".1%",
            "",
            "probability of being above 0",
        ),
        _row("Deflated Sharpe", equity.deflated_sharpe, ".1%", "", luck),
        Row(
            "Max drawdown",
            number_in_words(equity.max_drawdown, ".1%"),
            interval_in_words(equity.drawdown_paths, ".1%"),
            equity.drawdown_paths.why or paths,
        ),
        Row(
            "Longest drawdown",
            number_in_words(equity.longest_drawdown_days, ",.0f", " days"),
            "",
            "from a high to the next, or to the end",
        ),
        Row(
            "Exposure",
            number_in_words(equity.exposure, ".1%"),
            "",
            _open_risk(equity),
        ),
    ]


def _open_risk(equity: EquityStatistics) -> str:
    if equity.mean_open_risk is None or equity.max_open_risk is None:
        return "no bars"
    mean, most = f"{equity.mean_open_risk:.2%}", f"{equity.max_open_risk:.2%}"
    return f"of steps in a position; open risk {mean} of equity on average, {most} at most"


def _means(trades: TradeStatistics) -> list[Row]:
    mae, mfe = (
        number_in_words(one, "+.2f", " R") for one in (trades.mean_mae_r, trades.mean_mfe_r)
    )
    hours = number_in_words(trades.mean_hours_held, ",.1f")
    return [
        Row("MAE / MFE", f"{mae} / {mfe}", "", "worst and best of a trade while open, on average"),
        Row(
            "Costs", number_in_words(trades.mean_cost_r, ".3f", " R"), "", "of a trade, on average"
        ),
        Row(
            "Time in a trade",
            number_in_words(trades.mean_bars_held, ",.1f", " bars"),
            "",
            f"on average; hours: {hours}",
        ),
    ]
