"""Random markets, parameters and settings that drive every rule of the replay.

A scenario is drawn from a theme and a seed.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from hypothesis import strategies as st

from exits.parameters import PARAMETERS
from tests.backtest.random_markets import MINUTE, DrawnMarket, drawn_market, drawn_starts
from tests.backtest.reference_bars import Bar
from tests.backtest.reference_evaluator import Table
from tests.backtest.reference_position import Parameters
from tests.backtest.reference_state import Question, Settings, SlowMarket
from tests.backtest.themes import LENIENT, THEMES, Theme

NAMES = tuple(parameter.name for parameter in PARAMETERS)
PERMISSIONS = ("should_activate_breakeven", "should_activate_trailing", "should_adjust_stop")
ACTIONS = (
    "should_exit_now",
    "should_take_partial_1",
    "should_take_partial_2",
    "should_take_partial_3",
    "should_exit_dead_trade",
    "regime_change_immediate_exit",
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Scenario:
    """A replay to run: markets, settings, and parameter sets that the policy goes through."""

    theme: str
    seed: int
    markets: tuple[DrawnMarket, ...]
    settings: Settings
    sets: tuple[Parameters, ...]
    atr_mults: tuple[float, ...]

    def decide(self, symbol: str, number: int, bar: int, atr: float) -> Parameters:
        """Parameters by symbol, bar and number alone, so that every replay is given the same."""
        which = (sum(symbol.encode()) + 3 * number + bar) % len(self.sets)
        return {**self.sets[which], "current_atr": atr * self.atr_mults[which]}

    def slow_policy(self, asked: Question) -> Parameters:
        return self.decide(asked.symbol, asked.number, asked.bar, asked.atr)

    def slow_markets(self) -> list[SlowMarket]:
        return [slow_market(market) for market in self.markets]


def scenarios(*, short_bars: bool = True) -> st.SearchStrategy[Scenario]:
    themes, seeds = st.sampled_from(sorted(THEMES)), st.integers(0, 2**32 - 1)
    return st.builds(drawn, themes, seeds, st.integers(30, 160), st.just(short_bars))


def drawn(theme_name: str, seed: int, n_bars: int, short_bars: bool = True) -> Scenario:
    """Draw the scenario of a theme and a seed."""
    rng = np.random.default_rng([seed, sorted(THEMES).index(theme_name)])
    theme = THEMES[theme_name]
    settings = drawn_settings(rng, theme)
    n_sets = int(rng.choice([1, 1, 3, 5]))
    sets = tuple(drawn_parameters(rng, theme) for _ in range(n_sets))
    atr_mults = tuple(rng.choice([1.0, rng.uniform(0.5, 2.0)]) for _ in range(n_sets))
    lengths = (
        rng.choice([5, 15, 60, 240], 4) if rng.random() < 0.2 else [rng.choice([5, 60, 240])] * 4
    )
    first = (
        np.datetime64("2024-03-01T00:00", "us") + int(rng.integers(0, 28 * 24 * 12)) * 5 * MINUTE
    )
    n_symbols = int(rng.integers(theme.n_symbols[0], theme.n_symbols[1] + 1))
    markets = tuple(
        drawn_market(
            np.random.default_rng([seed, k]),
            theme,
            f"S{k}",
            drawn_starts(rng, first, int(lengths[k]) * MINUTE, n_bars, short_bars),
            int(lengths[k]) * MINUTE,
        )
        for k in range(n_symbols)
    )
    return Scenario(
        theme=theme_name,
        seed=seed,
        markets=markets,
        settings=settings,
        sets=sets,
        atr_mults=atr_mults,
    )


# Parameters and settings


def drawn_parameters(rng: np.random.Generator, theme: Theme) -> Parameters:
    """Draw each parameter at its default, at a bound or between them, around the theme's own."""
    found = {parameter.name: parameter.default for parameter in PARAMETERS}
    found |= LENIENT if theme.lenient else {}
    found |= theme.base or {}
    for parameter in PARAMETERS[:-1]:
        name = parameter.name
        if name in ACTIONS:
            if rng.random() < theme.actions:
                found[name] = rng.choice([0.5, 0.7, rng.uniform(0.4, 1.0)])
        elif rng.random() < theme.vary:
            bounds = (parameter.low, parameter.high)
            found[name] = rng.choice([*bounds, rng.uniform(*bounds), rng.uniform(*bounds)])
            if parameter.kind in ("flag", "decision") and rng.random() < 0.2:
                found[name] = 0.5
            if parameter.kind == "integer" and rng.random() < 0.5:
                found[name] = round(found[name])
            if theme.grid:
                found[name] = round(found[name], 1)
    for name in PERMISSIONS:
        if rng.random() >= theme.permissions:
            found[name] = 0.2
    return {name: float(value) for name, value in found.items()}


def drawn_settings(rng: np.random.Generator, theme: Theme) -> Settings:
    costly = rng.random() < 0.7 and not theme.grid
    spread, commission, slippage = rng.uniform(0.0, 0.2, 3) if costly else np.zeros(3)
    sessions = (("Fri 21:00",), ("21:00",), ("Fri 21:00", "12:30"), ())[int(rng.integers(4))]
    account = {}
    if theme.account == "tight":
        risk = rng.uniform(0.01, 0.06)
        account = {
            "risk_per_trade": risk,
            "max_open_risk": risk * rng.uniform(1.0, 4.0),
            "daily_loss_limit": rng.uniform(0.005, 0.2),
            "recovery_drawdown": rng.uniform(0.02, 0.2),
        }
    if theme.account == "ruin":
        # Not all of it: what a day's loss is of nothing at all is not said.
        risk = rng.uniform(0.9, 0.99)
        account = {"risk_per_trade": risk, "max_open_risk": 1.0, "daily_loss_limit": 1.0}
    choices = theme.minutes_per_bar
    return Settings(
        tick_atr=float(rng.choice([0.25, rng.uniform(0.1, 0.4)])),
        minutes_per_bar=choices[int(rng.integers(len(choices)))],
        min_share=float(rng.choice(theme.min_shares)),
        friday_late_hour=int(rng.choice([0, 12, 16, 20])),
        sessions=sessions if theme.sessions else (),
        spread_atr=float(spread),
        commission_atr=float(commission),
        slippage_atr=float(slippage),
        evaluator=Table() if theme.evaluator else None,
        **{name: float(value) for name, value in account.items()},
    )


def slow_market(market: DrawnMarket) -> SlowMarket:
    bars = market.bars
    times: list[datetime] = bars.close_time_T.astype(object).tolist()
    columns = (bars.open_T, bars.high_T, bars.low_T, bars.close_T, bars.volume_T)
    return SlowMarket(
        symbol=bars.symbol,
        bars=[
            Bar(time, *values)
            for time, *values in zip(times, *(c.tolist() for c in columns), strict=True)
        ],
        bar_minutes=float(bars.length / MINUTE),
        signals=market.signal_T.tolist(),
        confidences=market.confidence_T.tolist(),
        threshold=market.threshold,
        tick_size=market.tick_size,
    )
