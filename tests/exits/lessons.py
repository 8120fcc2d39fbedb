"""Decisions whose parameters were varied, and whose worth is known because it was made up."""

import dataclasses

import numpy as np

from exits.decision_rows import DecisionRows
from exits.feature_table import INDEX as FEATURE
from exits.features import NEUTRAL_F
from exits.parameters import (
    ATR,
    IMMEDIATE,
    INDEX,
    NAMES,
    PARAMETERS,
    defaults,
    denormalize,
    normalize,
)
from exits.patience import KINDS, moved

HELPS_AT_HIGH_RSI, IDLE = "stop_mult", "max_stop_ticks"
START = np.datetime64("2024-01-01T00:00", "us")
ATR_P = INDEX[ATR]
_ACTS_P = np.isin(NAMES, list(IMMEDIATE))
_DEFAULTS_P = np.array([(one.default - one.low) / (one.high - one.low) for one in PARAMETERS])
_DEFAULTS_P[ATR_P] = 1.0 / 3.0
_APART, _LASTS = np.timedelta64(3, "h"), np.timedelta64(2, "h")


def made_up(seed, n_trades=600, *, own=0.0, patience=0.0, updates=1, only=NAMES):
    """Return decisions of trades: an entry and some updates each.

    ``own`` is what `stop_mult`, all the way from its low to its high end, is worth in R where RSI
    is one standard deviation above its mean; ``patience`` what patience with time is worth, all the
    way from the middle to its ends. No parameter but those of ``only`` is varied.
    """
    rng = np.random.default_rng(seed)
    trade_N = np.repeat(np.arange(n_trades), 1 + updates)
    number_N = np.tile(np.arange(1 + updates), n_trades)
    rsi_N, x_NF = _features(rng, number_N)
    unit_NP, level_NB = _units(rng, len(trade_N), only)
    apart_N = unit_NP[:, INDEX[HELPS_AT_HIGH_RSI]] - _DEFAULTS_P[INDEX[HELPS_AT_HIGH_RSI]]
    worth_N = own * apart_N * rsi_N + patience * level_NB[:, KINDS.index("time")]
    entry_time_M = START + np.arange(n_trades) * _APART
    atr_N = rng.uniform(0.5, 2.0, len(trade_N))
    return DecisionRows(
        x_NF=x_NF,
        previous_NP=defaults(atr_N),
        decided_NP=denormalize(unit_NP, atr_bounds=(0.5 * atr_N, 2.0 * atr_N)),
        trade_N=trade_N,
        number_N=number_N,
        time_N=entry_time_M[trade_N] + number_N * np.timedelta64(20, "m"),
        atr_N=atr_N,
        next_atr_N=atr_N * np.where(x_NF[:, FEATURE["regime"]] > 2, 1.5, 0.8),
        r_N=np.zeros(len(trade_N)),
        worth_N=np.zeros(len(trade_N)),
        entry_time_M=entry_time_M,
        exit_time_M=entry_time_M + _LASTS,
        policy_until_M=np.zeros(n_trades, "datetime64[us]"),
        r_M=np.bincount(trade_N, worth_N) + rng.normal(0.0, 1.0, n_trades),
        regime_M=rng.integers(0, 6, n_trades),
        session_M=np.zeros(n_trades, np.int64),
        symbol_M=("EURUSD",) * n_trades,
        hindsight=False,
    )


def units(rows):
    """Return decided parameters in [0, 1]."""
    return normalize(rows.decided_NP, atr_bounds=(0.5 * rows.atr_N, 2.0 * rows.atr_N))


def times_over(rows, times):
    """Return the same rows as if each trade had been recorded several times."""
    n_rows, n_trades = len(rows.trade_N), len(rows.r_M)
    changed = {}
    for field in dataclasses.fields(rows):
        value = getattr(rows, field.name)
        if isinstance(value, np.ndarray):
            changed[field.name] = np.concatenate([value] * times)
        elif isinstance(value, tuple):
            changed[field.name] = value * times
    copy_N = np.repeat(np.arange(times), n_rows)
    changed["trade_N"] = np.tile(rows.trade_N, times) + n_trades * copy_N
    return dataclasses.replace(rows, **changed)


def _units(rng, n_rows, only):
    level_NB = rng.uniform(-0.4, 0.4, (n_rows, len(KINDS))) * (rng.random((n_rows, 1)) < 0.5)
    unit_NP = moved(np.tile(_DEFAULTS_P, (n_rows, 1)), level_NB)
    unit_NP = np.clip(unit_NP + rng.uniform(-0.3, 0.3, unit_NP.shape), 0.0, 1.0)
    unit_NP[:, _ACTS_P] = rng.random((n_rows, _ACTS_P.sum())) < 0.02
    return np.where(np.isin(NAMES, only), unit_NP, _DEFAULTS_P), level_NB


def _features(rng, number_N):
    n_rows = len(number_N)
    x_NF = np.tile(NEUTRAL_F, (n_rows, 1))
    rsi_N = rng.normal(0.0, 1.0, n_rows)
    columns = {
        "side": 0.0,
        "market_state.rsi": 50.0 + 20.0 * rsi_N,
        "market_state.vwap_distance": rng.normal(0.0, 1.0, n_rows),
        "entry_confidence": rng.uniform(0.5, 0.7, n_rows),
        "market_state.volume_ratio": rng.uniform(0.5, 2.0, n_rows),
        "market_state.vix": rng.uniform(5.0, 30.0, n_rows),
        "market_state.hour": rng.integers(0, 24, n_rows),
        "regime": rng.integers(0, 6, n_rows),
        "r_multiple": rng.normal(0.0, 0.5, n_rows) * (number_N > 0),
        "mfe": rng.uniform(0.0, 1.0, n_rows) * (number_N > 0),
        "mae": -rng.uniform(0.0, 1.0, n_rows) * (number_N > 0),
        "outcome.bars_held": 10.0 * number_N,
    }
    for name, column_N in columns.items():
        x_NF[:, FEATURE[name]] = column_N
    return rsi_N, x_NF
