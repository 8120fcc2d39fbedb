"""Compiled steps of the simulated market: one bar, a whole series, and the fate of a trade.

Axes: T bars, S steps within a bar, W hours of the trading week, N events, B bars of a trade.
"""

import math

import numpy as np

from market.bars import FloatArray
from market.compiled import IndexArray, compiled

STEPS_PER_BAR = 12

# Quiet, normal, turbulent: volatility multiple, and chance per bar of moving one regime down or up.
# Occupied 33%, 56% and 11% of the time, for 200, 200 and 100 bars at a stretch.
REGIME_SCALE = (0.7, 1.0, 1.7)
REGIME_DOWN = (0.0, 0.003, 0.01)
REGIME_UP = (0.005, 0.002, 0.0)

# GARCH(1, 1) with unit mean (Bollerslev, Journal of Econometrics 31, 1986, equation 3).
GARCH_SHOCK = 0.06
GARCH_MEMORY = 0.90

# The state is the distance from this average, in units of this many mean ranges, squashed.
EMA_SPAN_BARS = 48
STRETCH_RANGES = 2.0
_EMA_WEIGHT = 2.0 / (EMA_SPAN_BARS + 1)


@compiled
def _state(close: float, ema: float, mean_range: float) -> float:
    return -math.tanh((close - ema) / (STRETCH_RANGES * mean_range))


@compiled
def _next_regime(regime: int, uniform: float) -> int:
    if uniform < REGIME_DOWN[regime]:
        return regime - 1
    if uniform < REGIME_DOWN[regime] + REGIME_UP[regime]:
        return regime + 1
    return regime


@compiled
def _bar(
    close: float,
    sigma: float,
    drift: float,
    ticks_per_unit: float,
    noise_S: FloatArray,
    sign: float,
) -> tuple[float, float, float, float, float]:
    """Return high, low, close, log return and distance travelled of a bar opening at ``close``."""
    step_sigma = sigma / np.sqrt(STEPS_PER_BAR)
    step_drift = drift / STEPS_PER_BAR
    log_return, top, bottom, travelled = 0.0, 0.0, 0.0, 0.0
    for s in range(STEPS_PER_BAR):
        step = step_drift + sign * step_sigma * noise_S[s]
        log_return += step
        travelled += abs(step)
        top = max(top, log_return)
        bottom = min(bottom, log_return)
    high = np.rint(close * np.exp(top) * ticks_per_unit) / ticks_per_unit
    low = np.rint(close * np.exp(bottom) * ticks_per_unit) / ticks_per_unit
    end = np.rint(close * np.exp(log_return) * ticks_per_unit) / ticks_per_unit
    return high, low, end, log_return, travelled


@compiled
def _advance(
    past: tuple[float, float, float, float, int],
    base_sigma: float,
    session: float,
    edge: float,
    ticks_per_unit: float,
    noise_S: FloatArray,
    sign: float,
    uniform: float,
) -> tuple[tuple[float, float, float, float, int], float, float, float, float]:
    """Move ``past`` (close, ema, mean range, variance, regime) on by one bar.

    Returns the new past, then the bar's high, low, volatility and distance travelled.
    """
    close, ema, mean_range, variance, regime = past
    regime = _next_regime(regime, uniform)
    sigma = base_sigma * session * REGIME_SCALE[regime] * np.sqrt(variance)
    drift = edge * sigma * _state(close, ema, mean_range)
    high, low, close, log_return, travelled = _bar(
        close, sigma, drift, ticks_per_unit, noise_S, sign
    )
    shock = (log_return - drift) / sigma
    variance = (1.0 - GARCH_SHOCK - GARCH_MEMORY) + variance * (
        GARCH_SHOCK * shock * shock + GARCH_MEMORY
    )
    ema += _EMA_WEIGHT * (close - ema)
    mean_range += _EMA_WEIGHT * (high - low - mean_range)
    return (close, ema, mean_range, variance, regime), high, low, sigma, travelled


@compiled
def simulate_path(
    past: tuple[float, float, float, float, int],
    base_sigma: float,
    session_W: FloatArray,
    edge: float,
    ticks_per_unit: float,
    noise_TS: FloatArray,
    uniform_T: FloatArray,
) -> FloatArray:
    """Return one row per bar.

    Columns: close, ema, mean range, variance of the next bar, regime (the first five are what the
    next bar depends on), state of the next bar, high, low, volatility, distance travelled.
    """
    path_TC = np.empty((len(uniform_T), 10))
    for t in range(len(uniform_T)):
        past, high, low, sigma, travelled = _advance(
            past,
            base_sigma,
            session_W[t % len(session_W)],
            edge,
            ticks_per_unit,
            noise_TS[t],
            1.0,
            uniform_T[t],
        )
        close, ema, mean_range, variance, regime = past
        path_TC[t, 0], path_TC[t, 1], path_TC[t, 2] = close, ema, mean_range
        path_TC[t, 3], path_TC[t, 4] = variance, regime
        path_TC[t, 5] = _state(close, ema, mean_range)
        path_TC[t, 6], path_TC[t, 7], path_TC[t, 8] = high, low, sigma
        path_TC[t, 9] = travelled
    return path_TC


@compiled
def _trade_wins(
    past: tuple[float, float, float, float, int],
    hour: int,
    direction: float,
    profit: float,
    stop: float,
    base_sigma: float,
    session_W: FloatArray,
    edge: float,
    ticks_per_unit: float,
    noise_BS: FloatArray,
    uniform_B: FloatArray,
    sign: float,
    n_drawn: int,
    rng: np.random.Generator,
) -> tuple[bool, int]:
    """Play one trade from the next bar's open; return whether it wins and how many bars are drawn.

    Noise is drawn only when a bar is reached, and kept for the other path of the pair.
    """
    entry = past[0]
    for b in range(len(uniform_B)):
        if b == n_drawn:
            for s in range(STEPS_PER_BAR):
                noise_BS[b, s] = rng.standard_normal()
            uniform_B[b] = rng.random()
            n_drawn += 1
        past, high, low, _, _ = _advance(
            past,
            base_sigma,
            session_W[(hour + b) % len(session_W)],
            edge,
            ticks_per_unit,
            noise_BS[b],
            sign,
            uniform_B[b],
        )
        best, worst = (high, low) if direction > 0 else (low, high)
        if direction * (worst - entry) <= -stop:
            return False, n_drawn
        if direction * (best - entry) >= profit:
            return True, n_drawn
    return direction * (past[0] - entry) > 0, n_drawn


@compiled
def win_share(
    past_NC: FloatArray,
    hour_N: IndexArray,
    direction_N: FloatArray,
    profit_N: FloatArray,
    stop_N: FloatArray,
    max_bars: int,
    n_pairs: int,
    base_sigma: float,
    session_W: FloatArray,
    edge: float,
    ticks_per_unit: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Return the share of simulated continuations in which each trade wins.

    Continuations come in pairs driven by opposite noise: where one wins the other mostly loses,
    which leaves far less sampling error than independent ones (Hammersley and Morton, Mathematical
    Proceedings of the Cambridge Philosophical Society 52, 1956).
    """
    share_N = np.empty(len(hour_N))
    noise_BS = np.empty((max_bars, STEPS_PER_BAR))
    uniform_B = np.empty(max_bars)
    for n in range(len(hour_N)):
        close, ema, mean_range, variance, regime = past_NC[n]
        past = (close, ema, mean_range, variance, int(regime))
        wins = 0
        for _ in range(n_pairs):
            n_drawn = 0
            for sign in (1.0, -1.0):
                won, n_drawn = _trade_wins(
                    past,
                    hour_N[n],
                    direction_N[n],
                    profit_N[n],
                    stop_N[n],
                    base_sigma,
                    session_W,
                    edge,
                    ticks_per_unit,
                    noise_BS,
                    uniform_B,
                    sign,
                    n_drawn,
                    rng,
                )
                wins += won
        share_N[n] = wins / (2 * n_pairs)
    return share_N
