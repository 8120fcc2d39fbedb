"""Small replays whose parameters are varied, and the experiences they leave."""

import dataclasses

import numpy as np

from backtest.costs import Account, Costs, ExitSettings
from backtest.markets import Market
from backtest.replay import replay
from exits.experience import experiences
from exits.exploring import Exploring
from exits.parameters import IMMEDIATE
from exits.policy import Defaults

COSTS = Costs(spread_atr=0.08, commission_atr=0.03, slippage_atr=0.02)
ACCOUNT = Account()
EXITS = ExitSettings()


# Trades that last: some partials, and decisions after them.
LASTING = {
    "adverse_range_expansion_mult": 2.0,
    "consecutive_losses_max": 8,
    "exit_param_update_frequency_bars": 5,
    "immediate_adverse_exit_threshold_ticks": 8,
    "max_drawdown_from_peak_pct": 0.35,
    "max_stop_ticks": 20,
    "max_time_underwater_bars": 15,
    "partial_1_min_profit_ticks": 4,
    "partial_1_r": 0.8,
    "runner_target_r": 10.0,
    "sideways_avoid_new_entry": 0,
    "sideways_market_exit_enabled": 0,
    "signal_reversal_confidence_threshold": 0.85,
    "stop_mult": 2.5,
    "volatility_spike_exit_mult": 3.0,
}


def some_bars(random_bars, seed, *, n_bars=400, symbols="AB"):
    """Return bars by symbol, of quieter markets than the given ones."""
    return {
        one: _quieter(random_bars(seed + place, n_bars), symbol=one)
        for place, one in enumerate(symbols)
    }


def _quieter(bars, symbol):
    prices = {
        name: getattr(bars, name) + 300.0 for name in ("open_T", "high_T", "low_T", "close_T")
    }
    return dataclasses.replace(bars, symbol=symbol, volume_T=bars.volume_T + 5.0, **prices)


def markets_of(bars_by_symbol, seed):
    """Return random signals on these bars: cut off bars, and the signals before stay the same."""
    markets = []
    for place, bars in enumerate(bars_by_symbol.values()):
        rng = np.random.default_rng([seed, place])
        draws_2T = rng.random((20_000, 2))[: len(bars)].T
        signal_T = np.where(draws_2T[0] < 0.1, 1, np.where(draws_2T[0] > 0.9, -1, 0))
        confidence_T = np.where(signal_T == 0, np.nan, 0.4 + 0.5 * draws_2T[1])
        markets.append(
            Market(
                symbol=bars.symbol,
                bars=bars,
                signal_T=signal_T.astype(np.int8),
                confidence_T=confidence_T,
                threshold=0.55,
                model="council",
            )
        )
    return markets


def replayed(bars_by_symbol, seed):
    """Trade random signals on these bars, parameters varied a little."""
    policy = Exploring(explore=0.1, seed=seed, base=Defaults(LASTING), fixed=IMMEDIATE)
    markets = markets_of(bars_by_symbol, seed)
    return replay(markets, policy, exits=EXITS, costs=COSTS, account=ACCOUNT)


def experiences_of(frames, bars_by_symbol):
    """Return the experiences of a replay, told what it was told."""
    found = experiences(
        frames,
        bars_by_symbol,
        costs=COSTS,
        daily_loss_limit=ACCOUNT.daily_loss_limit,
        sessions=EXITS.sessions,
    )
    return list(found)
