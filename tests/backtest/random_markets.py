"""Random bars and the signals on them: jumps, gaps, flat stretches, bursts, volume drying up.

Axes: T bars.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from market.bars import Bars

MINUTE = np.timedelta64(60_000_000, "us")


class Theme(Protocol):
    """What a scenario says of its markets."""

    foresight: float
    styles: tuple[str, ...]
    volumes: tuple[str, ...]
    reversals: bool
    grid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnMarket:
    bars: Bars
    signal_T: np.ndarray
    confidence_T: np.ndarray
    threshold: float
    tick_size: float | None


def drawn_market(
    rng: np.random.Generator,
    theme: Theme,
    symbol: str,
    start_T: np.ndarray,
    length: np.timedelta64,
) -> DrawnMarket:
    volume_T = drawn_volumes(rng, theme, len(start_T))
    bars = Bars(symbol, start_T, *drawn_prices(rng, theme, len(start_T)), volume_T, length)
    signal_T, confidence_T = drawn_signals(rng, theme, bars.close_T)
    return DrawnMarket(
        bars=bars,
        signal_T=signal_T,
        confidence_T=confidence_T,
        threshold=float(rng.choice([0.0, 0.5, 0.6])),
        tick_size=drawn_tick_size(rng, theme, float(np.mean(bars.high_T - bars.low_T))),
    )


def drawn_tick_size(rng: np.random.Generator, theme: Theme, reach: float) -> float | None:
    if theme.grid:
        return float(rng.choice([0.25, 0.5, 1.0]))
    return (reach + 1e-4) * rng.uniform(0.1, 0.5) if rng.random() < 0.2 else None


def drawn_prices(rng: np.random.Generator, theme: Theme, n_bars: int) -> np.ndarray:
    """Draw open, high, low and close, shape (4, n_bars), on coarse or fine steps of the price."""
    close_T, spread_T = drawn_closes(rng, theme, n_bars)
    gaps_T = rng.normal(0.0, 2.0, n_bars) * spread_T * (rng.random(n_bars) < 0.06)
    open_T = np.concatenate([[1.0], close_T[:-1]]) + gaps_T
    reach_T = np.abs(rng.normal(0.0, 0.5, (2, n_bars))) * spread_T
    high_T = np.maximum(open_T, close_T) + reach_T[0]
    low_T = np.minimum(open_T, close_T) - reach_T[1]
    bars_4T = np.stack([open_T, high_T, low_T, close_T])
    if theme.grid:
        return np.round(bars_4T * 8000.0) / 4
    price = float(rng.choice([1.1, 100.0, 2000.0]))
    digits = int(rng.choice([4, 12])) + (price < 50)
    return np.round(bars_4T * price, digits)


def drawn_starts(
    rng: np.random.Generator,
    first: np.datetime64,
    length: np.timedelta64,
    n_bars: int,
    short_bars: bool,
) -> np.ndarray:
    """Draw starts: unequal beginnings, missing bars, weekends, and a short bar now and then."""
    offset = int(rng.choice([0, 0, rng.integers(0, 20)]))
    start_T = first + (offset + np.arange(3 * n_bars)) * length
    kept_T = rng.random(len(start_T)) >= rng.choice([0.0, 0.02, 0.1])
    if rng.random() < 0.6:
        kept_T &= ~np.isin((start_T.astype("datetime64[D]").astype(int) + 3) % 7, (5, 6))
    start_T = start_T[kept_T][:n_bars]
    if len(start_T) < n_bars:
        start_T = first + (offset + np.arange(n_bars)) * length
    if rng.random() < 0.15 and short_bars:
        start_T[n_bars // 2 :] -= length // 4
    return start_T


def drawn_closes(
    rng: np.random.Generator, theme: Theme, n_bars: int
) -> tuple[np.ndarray, np.ndarray]:
    """Closes around 1, and how far bars reach: stretches, each in one of the theme's styles."""
    moves_T, spread_T = np.zeros(n_bars), np.zeros(n_bars)
    sigma = rng.choice([0.0004, 0.001, 0.002])
    t = 0
    while t < n_bars:
        end = min(n_bars, t + int(rng.integers(4, 50)))
        style = theme.styles[int(rng.integers(len(theme.styles)))]
        drift, scale = {
            "walk": (0.0, 1.0),
            "trend": (rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.5), 0.6),
            "flat": (0.0, 0.0),
            "burst": (0.0, rng.uniform(2.0, 5.0)),
            "quiet": (0.0, rng.uniform(0.1, 0.4)),
            "swell": (0.0, 0.3),
            "drift": (rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.4), 0.3),
        }[style]
        size = end - t
        growth_T = np.exp(0.06 * np.arange(size)) if style == "swell" else np.ones(size)
        moves_T[t:end] = sigma * growth_T * (drift + scale * rng.standard_normal(size))
        spread_T[t:end] = sigma * growth_T * scale
        t = end
    jumps_T = (rng.random(n_bars) < 0.02) * rng.standard_normal(n_bars) * 6 * sigma
    return np.exp(np.cumsum(moves_T + jumps_T)), spread_T


def drawn_volumes(rng: np.random.Generator, theme: Theme, n_bars: int) -> np.ndarray:
    volume_T = np.round(np.exp(rng.normal(5.0, 0.4, n_bars)), int(rng.choice([0, 6])))
    style = theme.volumes[int(rng.integers(len(theme.volumes)))]
    at = int(rng.integers(0, n_bars))
    if style == "drying":
        volume_T[at:] *= np.maximum(0.1, np.exp(-0.2 * np.arange(n_bars - at)))
    if style == "zero":
        volume_T[at : at + int(rng.integers(1, 60))] = 0.0
    return volume_T


def drawn_signals(
    rng: np.random.Generator, theme: Theme, close_T: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Signals that foresee the next ten bars in a share of cases: some trades must win a lot."""
    n_bars = len(close_T)
    ahead_T = np.sign(close_T[np.minimum(np.arange(n_bars) + 10, n_bars - 1)] - close_T)
    right_T = rng.random(n_bars) < theme.foresight
    side_T = np.where(ahead_T == 0, rng.choice([-1, 1], n_bars), ahead_T)
    signal_T = np.where(right_T, side_T, -side_T)
    held_T = rng.random(n_bars) < rng.choice([0.1, 0.3, 0.9])
    low = 0.3 if theme.reversals else 0.5
    high = 0.99 if theme.reversals else 0.7
    confidence_T = np.where(held_T, rng.uniform(low, high, n_bars), np.nan)
    return np.where(held_T, signal_T, 0).astype(np.int8), confidence_T
