"""More than no exit can earn: an upper bound on the best exit of the simulated market.

Whoever knew all bars beforehand, but had to pay back whatever of a trade's value was not foreseen,
would earn no less than the best exit (Rogers, Mathematical Finance 12, 2002; Andersen and
Broadie, Management Science 50, 2004); the better the values, the less above it. What is foreseen
is simulated anew at every close, by the step that makes the market.

Axes: T bars, N entries, K factors, Z and Y nodes, S steps, W hours, C columns.
"""

from typing import Any

import numba
import numpy as np

from market.bars import FloatArray
from market.best_exit import BestExit
from market.best_exit_kernels import value_at
from market.best_exit_rule import AHEAD_W, NEXT_W, RANGE_SIGMAS, Path
from market.compiled import IndexArray
from market.simulate import SESSION_W, SYMBOLS, Simulation
from market.simulate_kernels import REGIME_SCALE, STEPS_PER_BAR, STRETCH_RANGES, simulate_path

LONGEST_BARS = 1_000
# Once holding has cost so many mean ranges more than leaving, no better moment comes.
HOPELESS_RANGES = 1.0

# Not kept on disk: a kept kernel does not notice changes to those of other files that it calls.


@numba.njit  # type: ignore[untyped-decorator]
def _worth(
    row_C: Any, before: float, hour: int, side: float, stop: float, edge: float, base_sigma: float,
    next_W: Any, ahead_W: Any, table_ZYK: Any, pull_Z: Any, room_Y: Any, factor_K: Any,
    state: float,
) -> tuple[float, float, bool]:  # fmt: skip
    """Return what a bar brought: foreseen gain, value at its close, and whether the stop came."""
    close, ema, span, variance = row_C[0], row_C[1], row_C[2], row_C[3]
    drift = edge * row_C[8] * state
    gain = side * before * np.expm1(drift + 0.5 * row_C[8] ** 2)
    worst = row_C[7] if side > 0.0 else row_C[6]
    if side * (worst - stop) <= 0.0:
        return gain + side * (stop - close), 0.0, True
    sigma = base_sigma * REGIME_SCALE[int(row_C[4])] * np.sqrt(variance) * close
    level = np.log(RANGE_SIGMAS * sigma / span)
    factor_K[0], factor_K[1] = 1.0, level
    factor_K[2], factor_K[3] = next_W[hour], ahead_W[hour]
    factor_K[4], factor_K[5] = level * level, level * next_W[hour]
    pull = side * (ema - close) / (STRETCH_RANGES * span)
    value = value_at(table_ZYK, pull_Z, room_Y, pull, side * (close - stop) / span, factor_K)
    return gain, span * max(value, 0.0), False


@numba.njit  # type: ignore[untyped-decorator]
def _bounds(
    path_TC: Any, state_T: Any, bar_N: Any, side_N: Any, risk_N: Any, edge: float,
    base_sigma: float, ticks: float, session_W: Any, next_W: Any, ahead_W: Any, table_ZYK: Any,
    pull_Z: Any, room_Y: Any, n_pairs: int, rng: Any,
) -> Any:  # fmt: skip
    """Return for each entry the gain of whoever leaves at the best moment, luck paid back."""
    most_N = np.empty(len(bar_N))
    factor_K, noise_TS = np.empty(6), np.empty((1, STEPS_PER_BAR))
    hours, hour_W = len(session_W), np.empty(1)
    for n in range(len(bar_N)):
        side = side_N[n]
        stop = path_TC[bar_N[n], 0] - side * risk_N[n]
        sum_now, most = 0.0, -np.inf
        for u in range(bar_N[n], min(bar_N[n] + LONGEST_BARS, len(path_TC) - 1)):
            row_C, hour, state = path_TC[u], (u + 2) % hours, state_T[u]
            past = (row_C[0], row_C[1], row_C[2], row_C[3], int(row_C[4]))
            hour_W[0] = session_W[(u + 1) % hours]
            foreseen = 0.0
            for _ in range(n_pairs):
                for s in range(STEPS_PER_BAR):
                    noise_TS[0, s] = rng.standard_normal()
                uniform_T = rng.random(1)
                for _ in range(2):
                    noise_TS *= -1.0
                    next_TC = simulate_path(
                        past, base_sigma, hour_W, edge, ticks, noise_TS, uniform_T
                    )
                    gain, value, _ = _worth(
                        next_TC[0], row_C[0], hour, side, stop, edge, base_sigma,
                        next_W, ahead_W, table_ZYK, pull_Z, room_Y, factor_K, state,
                    )  # fmt: skip
                    foreseen += gain + value
            _, value, stopped = _worth(
                path_TC[u + 1], row_C[0], hour, side, stop, edge, base_sigma,
                next_W, ahead_W, table_ZYK, pull_Z, room_Y, factor_K, state,
            )  # fmt: skip
            # To leave here is to give up what the trade is still worth.
            sum_now += foreseen / (2 * n_pairs) - value
            most = max(most, sum_now)
            if stopped or sum_now + value < most - HOPELESS_RANGES * path_TC[u + 1, 2]:
                break
        most_N[n] = most
    return most_N


def upper_bounds(
    best: BestExit,
    simulation: Simulation,
    path: Path,
    bar_N: IndexArray,
    side_N: FloatArray,
    *,
    n_pairs: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Return bounds on the gain of entries in ATR, before costs, with the rule's first stop.

    The mean over entries lies above that of any exit that leaves at closes and keeps its stop,
    but for its standard error.
    """
    bars, quote = simulation.bars, SYMBOLS[simulation.bars.symbol]
    columns = (
        *(bars.close_T, simulation.ema_T, simulation.mean_range_T, simulation.variance_T),
        *(simulation.regime_T, simulation.state_T, bars.high_T, bars.low_T, simulation.sigma_T),
    )
    atr_N = path.atr_T[bar_N]
    bound_N: FloatArray = _bounds(
        np.column_stack(columns), simulation.state_T, bar_N, side_N,
        (best.stops_atr[0] - best.worse_fill_atr) * atr_N, simulation.edge, quote.base_sigma,
        10.0**quote.digits, SESSION_W, NEXT_W, AHEAD_W, best.rule.table_AZYK[1],
        best.rule.pull_Z, best.rule.room_Y, n_pairs, rng,
    )  # fmt: skip
    return bound_N / atr_N
