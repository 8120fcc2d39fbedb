"""A simulated foreign-exchange market whose edge is known, for demonstrations and tests.

Axes: T bars, S steps within a bar, W hours of the trading week, C columns.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from market.bars import Bars, DataError, FloatArray
from market.compiled import IndexArray
from market.simulate_kernels import STEPS_PER_BAR, simulate_path
from market.table_cache import table_cache

MAX_BARS = 100_000  # later bars would carry dates in the future
_HOUR = np.timedelta64(3_600_000_000, "us")
_FIRST_OPEN_UTC = np.datetime64("2010-01-03T21:00", "us")
_NORMAL_REGIME = 1


@dataclass(frozen=True, slots=True)
class SimulatedSymbol:
    """First price, decimals quoted, and usual volatility of an hour's log return."""

    first_price: float
    digits: int
    base_sigma: float


SYMBOLS = {
    "EURUSD": SimulatedSymbol(1.1000, 5, 0.0010),
    "GBPUSD": SimulatedSymbol(1.3000, 5, 0.0011),
    "USDJPY": SimulatedSymbol(110.00, 3, 0.0011),
    "AUDUSD": SimulatedSymbol(0.7500, 5, 0.0013),
    "USDCAD": SimulatedSymbol(1.3000, 5, 0.0010),
    "USDCHF": SimulatedSymbol(0.9500, 5, 0.0011),
    "NZDUSD": SimulatedSymbol(0.7000, 5, 0.0013),
    "EURJPY": SimulatedSymbol(125.00, 3, 0.0013),
    "GBPJPY": SimulatedSymbol(150.00, 3, 0.0014),
    "EURGBP": SimulatedSymbol(0.8500, 5, 0.0009),
    "XAUUSD": SimulatedSymbol(1300.0, 2, 0.0018),
}
_TICKS_PER_HOUR = 2_000.0  # volume of an hour of mean volatility

# Volatility by hour of day, UTC: quiet in Asia, livelier in London, liveliest while New York
# overlaps it.
_SESSION_BY_HOUR = np.array(
    (
        *(0.70, 0.75, 0.75, 0.70, 0.65, 0.70, 0.90, 1.15, 1.25, 1.20, 1.10, 1.05),
        *(1.25, 1.45, 1.50, 1.45, 1.25, 1.05, 0.90, 0.80, 0.70, 0.60, 0.55, 0.65),
    )
)
HOURS_PER_WEEK = 120  # Sunday 21:00 to Friday 21:00
SESSION_W = _SESSION_BY_HOUR[(21 + np.arange(HOURS_PER_WEEK)) % 24]
SESSION_W /= np.sqrt(np.mean(SESSION_W**2))


@dataclass(frozen=True, slots=True)
class Change:
    """What a market becomes: from bar ``at`` on, this edge, and its volatility so many times."""

    at: int
    edge: float
    volatility: float


@dataclass(frozen=True, slots=True)
class Simulation:
    """One simulated symbol together with what drives it and no trader sees.

    Attributes
    ----------
    bars : Bars
    edge : float
        Drift per unit of volatility at full state, up to a change.
    state_T : float64 array, shape (n_bars,)
        In (-1, 1), known at the close of each bar from bars up to it: minus the hyperbolic tangent
        of the distance from the 48-bar average, in units of two 48-bar mean ranges. Bar t + 1 has
        drift ``edge * sigma_T[t + 1] * state_T[t]``.
    sigma_T : float64 array, shape (n_bars,)
        Volatility of each bar's log return.
    regime_T : int64 array, shape (n_bars,)
        0 quiet, 1 normal, 2 turbulent.
    ema_T, mean_range_T : float64 arrays, shape (n_bars,)
        Average close and average high less low after each bar, in price.
    variance_T : float64 array, shape (n_bars,)
        GARCH variance of the next bar, mean 1.
    change : Change or None
        None where the market stays what it is.
    """

    bars: Bars
    edge: float
    state_T: FloatArray
    sigma_T: FloatArray
    regime_T: IndexArray
    ema_T: FloatArray
    mean_range_T: FloatArray
    variance_T: FloatArray
    change: Change | None = None


class SimulatedMarket:
    """Hourly bars of eleven symbols with volatility regimes and clustering, sessions and an edge.

    Prices drift back towards their 48-bar average: visible to distance from an average, RSI and
    trend strength, and known exactly. Symbols are independent of one another. The week opens on
    Sunday at 21:00 UTC and its last bar starts on Friday at 20:00.

    Parameters
    ----------
    n_bars : int
        Bars per symbol; a shorter market is the beginning of a longer one.
    edge : float
        Drift of a bar in units of its volatility when the state is 1; 0 for a market without any.
    cache : str or None
        Folder in which the features and labels made of the bars are kept for the next run.
    cache_max_gb : float
        Most that folder may take, in 1e9 bytes.
    changes_at : int or None
        Bars after which the market is another one; None where it stays. The bars before do not
        depend on it, nor on the two that follow.
    edge_after : float or None
        The edge from then on; None keeps it. Below 0, prices run away from their average.
    volatility_after : float
        Times the volatility up to then.

    Raises
    ------
    ValueError
        If ``n_bars`` is not in [1, 100000], ``edge`` not in [0, 1], ``edge_after`` not in [-1, 1],
        ``volatility_after`` not in [0.1, 10], ``changes_at`` below 1, or the cache is unusable; or
        if something changes, but not when.
    """

    def __init__(
        self,
        *,
        n_bars: int,
        edge: float,
        cache: str | None = None,
        cache_max_gb: float = math.inf,
        changes_at: int | None = None,
        edge_after: float | None = None,
        volatility_after: float = 1.0,
    ) -> None:
        if not 1 <= n_bars <= MAX_BARS:
            raise ValueError(f"n_bars must be from 1 to {MAX_BARS}, was {n_bars}")
        if not 0.0 <= edge <= 1.0:
            raise ValueError(f"edge must be from 0 to 1, was {edge}")
        self.n_bars = n_bars
        self.edge = edge
        self.change = _change(edge, changes_at, edge_after, volatility_after)
        self.cache = table_cache(cache, cache_max_gb)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the symbols on offer."""
        return tuple(SYMBOLS)

    def identity(self, symbol: str, seed: int) -> dict[str, Any]:
        """Return all that decides what the bars of a symbol are, in values that JSON has."""
        market = {"n_bars": self.n_bars, "edge": self.edge}
        # Named only where there is one: a market that stays is the market it always was.
        changed = {} if self.change is None else {"change": asdict(self.change)}
        return {"kind": "demo", "symbol": symbol, "seed": seed, **market, **changed}

    def bars(self, symbol: str, seed: int) -> Bars:
        """Return the bars of one symbol; equal arguments give equal bars.

        Raises
        ------
        ValueError
            If the symbol is unknown or the seed negative.
        """
        return self.simulate(symbol, seed).bars

    def simulate(self, symbol: str, seed: int) -> Simulation:
        """Return the bars of one symbol together with the hidden state behind them.

        Raises
        ------
        ValueError
            If the symbol is unknown or the seed negative.
        """
        if symbol not in SYMBOLS:
            raise DataError(f"no simulated symbol {symbol!r}, choose from {', '.join(SYMBOLS)}")
        path_TC = self._path(SYMBOLS[symbol], *_generators(symbol, seed))
        ema_T, mean_range_T, variance_T, regime_T, state_T = path_TC.T[1:6].copy()
        return Simulation(
            _bars(symbol, path_TC),
            self.edge,
            state_T,
            path_TC[:, 8].copy(),
            regime_T.astype(np.int64),
            ema_T,
            mean_range_T,
            variance_T,
            self.change,
        )

    def _path(
        self, quote: SimulatedSymbol, noise: np.random.Generator, regimes: np.random.Generator
    ) -> FloatArray:
        noise_TS = noise.standard_normal((self.n_bars, STEPS_PER_BAR))
        uniform_T = regimes.random(self.n_bars)

        def path(
            bars: slice,
            past: tuple[float, float, float, float, int],
            edge: float,
            volatility: float = 1.0,
        ) -> FloatArray:
            return simulate_path(
                past,
                quote.base_sigma * volatility,
                np.roll(SESSION_W, -(bars.start % HOURS_PER_WEEK)),
                edge,
                10.0**quote.digits,
                noise_TS[bars],
                uniform_T[bars],
            )

        change = self.change
        if change is None or change.at >= self.n_bars:
            return path(slice(0, self.n_bars), _start(quote), self.edge)
        before_TC = path(slice(0, change.at), _start(quote), self.edge)
        close, ema, mean_range, variance, regime = before_TC[-1, :5].tolist()
        past = (close, ema, mean_range, variance, int(regime))
        after_TC = path(slice(change.at, self.n_bars), past, change.edge, change.volatility)
        return np.concatenate([before_TC, after_TC])


def _change(
    edge: float, at: int | None, edge_after: float | None, volatility_after: float
) -> Change | None:
    if at is None:
        if edge_after is not None or volatility_after != 1.0:
            key = "edge_after" if edge_after is not None else "volatility_after"
            raise ValueError(f"{key} goes with changes_at: after how many bars?")
        return None
    if at < 1:
        raise ValueError(f"changes_at must be at least 1, was {at}")
    if edge_after is not None and not -1.0 <= edge_after <= 1.0:
        raise ValueError(f"edge_after must be from -1 to 1, was {edge_after}")
    if not 0.1 <= volatility_after <= 10.0:
        raise ValueError(f"volatility_after must be from 0.1 to 10, was {volatility_after}")
    return Change(at, edge if edge_after is None else edge_after, volatility_after)


def _start(quote: SimulatedSymbol) -> tuple[float, float, float, float, int]:
    """Return close, average, mean range, variance and regime before the first bar."""
    # A random walk's mean range is about 1.4 times its volatility at twelve steps.
    mean_range = 1.4 * quote.base_sigma * quote.first_price
    return quote.first_price, quote.first_price, mean_range, 1.0, _NORMAL_REGIME


def _generators(symbol: str, seed: int) -> list[np.random.Generator]:
    """Return independent sources for price noise and for regimes, keyed by the symbol's name.

    Two sources, each drawn bar after bar, so that fewer bars are the beginning of more.
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, was {seed}")
    key = np.random.SeedSequence(seed, spawn_key=tuple(symbol.encode()))
    return [np.random.Generator(np.random.PCG64(child)) for child in key.spawn(2)]


def _bars(symbol: str, path_TC: FloatArray) -> Bars:
    quote = SYMBOLS[symbol]
    close_T, high_T, low_T, travelled_T = (path_TC[:, c].copy() for c in (0, 6, 7, 9))
    week_T, hour_T = np.divmod(np.arange(len(path_TC)), HOURS_PER_WEEK)
    # Mean distance of normal steps: their number times sqrt(2 / pi) of a step's volatility.
    mean_travelled = quote.base_sigma * math.sqrt(STEPS_PER_BAR * 2.0 / math.pi)
    return Bars(
        symbol,
        _FIRST_OPEN_UTC + (week_T * 168 + hour_T) * _HOUR,
        np.concatenate([[quote.first_price], close_T[:-1]]),
        high_T,
        low_T,
        close_T,
        1.0 + np.floor(_TICKS_PER_HOUR * travelled_T / mean_travelled),
        _HOUR,
    )
