"""Outcomes of a model whose calibration is known, as `live.resolved` finds those of a real one.

Axes: N events.
"""

from dataclasses import fields, replace

import numpy as np

from live.resolved import Resolved
from market.bars import FloatArray
from models.calibration import Calibration
from selection.live_calibration import LiveCalibration

# As of hourly bars: an event every ten hours, decided after fourteen on average, 48 at most.
_EVERY_H, _LASTS_H, _MOST_H = 10.0, 14.0, 48.0
_SPREAD = 0.45  # of the log-odds, as of the models of the simulated market
_BEGIN = np.datetime64("2020-01-06T00:00", "us")
_HOUR = np.timedelta64(3_600_000_000, "us")


def made_outcomes(
    symbol: str,
    n_events: int,
    rng: np.random.Generator,
    *,
    slope: float = 1.0,
    intercept: float = 0.0,
    shared: float = 0.0,
    common_N: FloatArray | None = None,
    live: LiveCalibration | None = None,
) -> Resolved:
    """Return events of which sigmoid(slope * log-odds said + intercept) is the chance to win.

    Parameters
    ----------
    symbol : str
    n_events : int
    rng : Generator
    slope, intercept : float
        1 and 0: exactly calibrated.
    shared : float
        Correlation of neighbouring outcomes, as of labels that share time, in [0, 1).
    common_N : float64 array, shape (n_events,), optional
        Standard normal; half of what decides an outcome, where several symbols move together.
    live : LiveCalibration, optional
        In the manifest.
    """
    from scipy.special import ndtr

    gaps_N = np.maximum(rng.exponential(_EVERY_H, n_events).round(), 1)
    t0_N = _BEGIN + np.cumsum(gaps_N).astype(np.int64) * _HOUR
    lasts_N = np.clip(rng.exponential(_LASTS_H, n_events).round(), 1, _MOST_H).astype(np.int64)
    said_N = rng.normal(-0.2, _SPREAD, n_events)
    luck_N = rng.normal(size=n_events)
    for n in range(1, n_events):
        luck_N[n] = shared * luck_N[n - 1] + np.sqrt(1 - shared**2) * luck_N[n]
    if common_N is not None:
        luck_N = np.sqrt(0.5) * (luck_N + common_N)
    p_N = Calibration.none()(said_N)
    live_N = p_N if live is None else live.since_fitted(t0_N, p_N)
    won_N = ndtr(luck_N) < Calibration.platt(slope, intercept)(said_N)
    return Resolved(
        symbol=symbol,
        model="Made",
        since=_BEGIN,
        t0_N=t0_N,
        t1_N=t0_N + lasts_N * _HOUR,
        direction_N=np.ones(n_events, dtype=np.int8),
        y_N=won_N.astype(np.int64),
        x_NF=np.zeros((n_events, 0)),
        weight_N=np.ones(n_events),
        p_N=p_N,
        p_live_N=live_N,
        threshold=0.5325,
        taken_N=live_N >= 0.5325,
        names_F=(),
        complete_until=t0_N[-1] if n_events else _BEGIN,
        n_open=0,
    )


def first(outcomes: Resolved, n_events: int) -> Resolved:
    """Return what was known when so many events had come."""
    of_events = [one.name for one in fields(outcomes) if one.name.endswith(("_N", "_NF"))]
    kept = {name: getattr(outcomes, name)[:n_events] for name in of_events}
    return replace(outcomes, **kept, complete_until=outcomes.t0_N[n_events - 1])
