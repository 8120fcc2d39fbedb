"""What a perfect forecaster of the simulated market would say: the yardstick for models.

Axes: T bars, N events.
"""

import numpy as np

from market.bars import FloatArray
from market.compiled import IndexArray, SignArray
from market.simulate import SESSION_W, SYMBOLS, Simulation
from market.simulate_kernels import win_share


def win_probability(
    simulation: Simulation,
    bar_N: IndexArray,
    direction_N: SignArray,
    atr_T: FloatArray,
    *,
    profit_atr: float,
    stop_atr: float,
    max_bars: int,
    n_paths: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Probability that each trade wins, given everything up to the close of its event's bar.

    A trade enters at the open of the next bar and ends at the first bar that reaches a barrier
    (touching counts; the stop comes first where one bar holds both), else after ``max_bars`` bars
    with the sign of its return; a return of zero loses. The market is continued ``n_paths`` times
    from its true state by the step that made it, beyond the last bar where need be. The standard
    error is at most ``sqrt(p (1 - p) / n_paths)``; where profit and stop lie equally far, half of
    that at 400 paths. The mean over events of ``max(p, 1 - p)`` is the attainable accuracy.

    Parameters
    ----------
    simulation : Simulation
    bar_N : int64 array, shape (n_events,)
        Bar at whose close the event is known.
    direction_N : int8 array, shape (n_events,)
        1 long, -1 short.
    atr_T : float64 array, shape (n_bars,)
        Price distance the barriers are multiples of; read at the events' bars only.
    profit_atr, stop_atr : float
        Distance of the barriers from the entry.
    max_bars : int
        Bars a trade may last, the entry bar included.
    n_paths : int
        Even, since paths come in pairs.
    rng : numpy.random.Generator

    Returns
    -------
    float64 array, shape (n_events,)
        In [0, 1].

    Raises
    ------
    ValueError
        If an argument is out of range, an event has no usable ATR, or the market changes.
    """
    bars = simulation.bars
    if simulation.change is not None:
        raise ValueError("the truth is known of a market that stays what it is, this one changes")
    _check_events(bar_N, direction_N, len(bars))
    _check_trade(profit_atr, stop_atr, max_bars, n_paths)
    atr_N = _usable(atr_T[bar_N])
    past_TC = (
        bars.close_T,
        simulation.ema_T,
        simulation.mean_range_T,
        simulation.variance_T,
        simulation.regime_T,
    )
    quote = SYMBOLS[bars.symbol]
    return win_share(
        np.column_stack([column_T[bar_N] for column_T in past_TC]),
        np.asarray(bar_N, dtype=np.int64) + 1,
        np.asarray(direction_N, dtype=np.float64),
        profit_atr * atr_N,
        stop_atr * atr_N,
        max_bars,
        n_paths // 2,
        quote.base_sigma,
        SESSION_W,
        simulation.edge,
        10.0**quote.digits,
        rng,
    )


def _check_events(bar_N: IndexArray, direction_N: SignArray, n_bars: int) -> None:
    if len(bar_N) != len(direction_N):
        raise ValueError(f"{len(bar_N)} events have {len(direction_N)} directions, one each needed")
    if not ((bar_N >= 0) & (bar_N < n_bars)).all():
        raise ValueError(f"events must lie in bars 0 to {n_bars - 1}")
    if not np.isin(direction_N, (-1, 1)).all():
        raise ValueError("direction must be 1 or -1 at every event")


def _check_trade(profit_atr: float, stop_atr: float, max_bars: int, n_paths: int) -> None:
    if not (profit_atr > 0 and stop_atr > 0):
        raise ValueError(f"barriers must be above 0 ATR, were {profit_atr} and {stop_atr}")
    if max_bars < 1:
        raise ValueError(f"max_bars must be at least 1, was {max_bars}")
    if n_paths < 2 or n_paths % 2:
        raise ValueError(f"n_paths must be even and at least 2, was {n_paths}")


def _usable(atr_N: FloatArray) -> FloatArray:
    usable_N = np.isfinite(atr_N) & (atr_N > 0)
    if not usable_N.all():
        event = int(np.argmin(usable_N))
        raise ValueError(f"ATR must be above 0 at every event, was {atr_N[event]} at event {event}")
    return atr_N
