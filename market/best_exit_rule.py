"""How the best rule for leaving trades of the simulated market is found: played, and mended.

Policy iteration with a regression of simulated gains (after Longstaff and Schwartz, Review of
Financial Studies 14, 2001). Gains are taken less what nobody could foresee of each bar, the noise
about its known drift: that changes no mean and leaves little to average out.

Axes: T bars, N trades, A orders, S stops to begin with, Z and Y nodes, K factors, C columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from market.bars import FloatArray
from market.best_exit_kernels import NOT_ENDED, add_to_normal_equations, play, values
from market.compiled import BoolArray, IndexArray
from market.features.indicators import wilder_atr
from market.simulate import HOURS_PER_WEEK, SESSION_W, SYMBOLS, SimulatedMarket, Simulation
from market.simulate_kernels import REGIME_SCALE, STRETCH_RANGES

ATR_BARS = 14
# Rules are learnt from the markets of this seed and the next few, which serve no other purpose.
LEARNING_SEED, N_LEARNING_SEEDS = 4_000_037, 100
WARM_UP_BARS, LONGEST_TRADE_BARS = 600, 3_000

# A mean range is about this many volatilities of a bar.
RANGE_SIGMAS = 1.4
_HOURS_AHEAD = 8
# Logarithms of the session's factor in an hour of the week, and of its mean from that hour on.
NEXT_W = np.log(SESSION_W)
AHEAD_W = np.log(np.mean([np.roll(SESSION_W, -hours) for hours in range(_HOURS_AHEAD)], axis=0))
_RIDGE = 3.0
# At the first playing, a trade is held until the drift is so much against it.
_FIRST_LIMIT = -0.3
_PULL_Z = (
    *(-2.5, -1.6, -1.1, -0.8, -0.6, -0.45, -0.3, -0.2, -0.1, 0.0),
    *(0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.1, 1.6, 2.5),
)
_ROOM_Y = (0.0, 0.15, 0.3, 0.5, 0.8, 1.2, 1.7, 2.4, 3.3, 4.5, 6.0, 8.0, 11.0, 15.0)
# What a trade is worth at its entry is fitted for each stop, so that only the first node counts.
_ENTRY_ROOM_Y = np.array((0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Way:
    """What may be done about an open trade.

    Attributes
    ----------
    holds : tuple of int
        Orders that leave the stop where it is: so many bars until the next order. The first is
        the order to leave: 0, at the next open; 1, at the open after that.
    stops : tuple of float
        Further orders: move the stop to so many mean ranges from the close, and hold one bar.
    max_orders : int
        Orders after the one at the entry; when the last hold is over the trade is left.
    buffer_atr : float
        The stop is watched at closes, and rests this much farther away inside a bar.
    """

    holds: tuple[int, ...] = (0, 1)
    stops: tuple[float, ...] = ()
    max_orders: int = 10**9
    buffer_atr: float = 0.0

    @property
    def hold_A(self) -> IndexArray:
        """Bars that each order holds."""
        return np.array(self.holds + (1,) * len(self.stops), dtype=np.int64)

    @property
    def stop_A(self) -> FloatArray:
        """Mean ranges from the close to where each order moves the stop; infinite: it stays."""
        return np.array((np.inf,) * len(self.holds) + self.stops)

    @property
    def first(self) -> int:
        """First of the orders that an entry may begin with: it lasts at least one bar."""
        return 0 if self.holds[0] else 1


@dataclass(frozen=True, slots=True)
class Size:
    """How much a rule is learnt from, and how finely it tells states apart.

    Attributes
    ----------
    n_bars, n_seeds, symbols : int, int, tuple of str
        The markets that are played.
    n_iterations : int
        Times that the rule is mended.
    pull_Z, room_Y : tuples of float
        Nodes of the table.
    """

    n_bars: int = 100_000
    n_seeds: int = 1
    symbols: tuple[str, ...] = tuple(SYMBOLS)
    n_iterations: int = 6
    pull_Z: tuple[float, ...] = _PULL_Z
    room_Y: tuple[float, ...] = _ROOM_Y

    def __post_init__(self) -> None:
        least = WARM_UP_BARS + LONGEST_TRADE_BARS + 100
        if self.n_bars < least:
            raise ValueError(f"n_bars must be at least {least}, was {self.n_bars}")
        if not 1 <= self.n_seeds <= N_LEARNING_SEEDS:
            raise ValueError(f"n_seeds must be from 1 to {N_LEARNING_SEEDS}, was {self.n_seeds}")


@dataclass(frozen=True, slots=True)
class ExitRule:
    """What an open trade is worth at a close, by the order that is given.

    Attributes
    ----------
    way : Way
    table_AZYK : float64 array
        Gain still to come, in mean ranges, at each node, one share for each factor. The order of
        most value is given; to leave at once is worth 0.
    pull_Z : float64 array
        Nodes of the pull: the state before it is squashed, positive where the drift is with the
        trade.
    room_Y : float64 array
        Nodes of the distance from the close to the stop, in mean ranges.
    """

    way: Way
    table_AZYK: FloatArray
    pull_Z: FloatArray
    room_Y: FloatArray


@dataclass(frozen=True, slots=True)
class Path:
    """One simulated symbol as the kernels read it.

    Attributes
    ----------
    price_TC : float64 array
        High, low, close, expected move of the bar, pull on a long trade, mean range.
    factor_TK : float64 array
        Volatility and hour to come.
    atr_T : float64 array
        Wilder's, 14 bars.
    """

    price_TC: FloatArray
    factor_TK: FloatArray
    atr_T: FloatArray


@dataclass(frozen=True, slots=True)
class Played:
    """Trades as they ended.

    Attributes
    ----------
    end_bar_N : int64 array
        Bar inside which the stop was touched, or at whose close leaving was decided; `NOT_ENDED`.
    gain_N, foreseen_N : float64 arrays
        Price gained before costs, and the same less what nobody could foresee.
    stopped_N : bool array
    """

    end_bar_N: IndexArray
    gain_N: FloatArray
    foreseen_N: FloatArray
    stopped_N: BoolArray


def path_of(simulation: Simulation) -> Path:
    """Return what trades of one simulated symbol are played on."""
    bars, sigma_T = simulation.bars, simulation.sigma_T
    drift_T = np.zeros(len(bars))
    drift_T[1:] = simulation.edge * sigma_T[1:] * simulation.state_T[:-1]
    move_T = bars.open_T * np.expm1(drift_T + 0.5 * sigma_T**2)
    pull_T = (simulation.ema_T - bars.close_T) / (STRETCH_RANGES * simulation.mean_range_T)
    columns = (bars.high_T, bars.low_T, bars.close_T, move_T, pull_T, simulation.mean_range_T)
    atr_T = wilder_atr(
        np.array(bars.high_T), np.array(bars.low_T), np.array(bars.close_T), ATR_BARS
    )
    return Path(np.column_stack(columns), _factors(simulation), atr_T)


def _factors(simulation: Simulation) -> FloatArray:
    """Return the volatility to come in mean ranges: its level, the next hour, the hours ahead."""
    bars = simulation.bars
    scale_T = np.array(REGIME_SCALE)[simulation.regime_T] * np.sqrt(simulation.variance_T)
    sigma_T = SYMBOLS[bars.symbol].base_sigma * scale_T * bars.close_T
    level_T = np.log(RANGE_SIGMAS * sigma_T / simulation.mean_range_T)
    hour_T = (np.arange(len(bars)) + 1) % HOURS_PER_WEEK
    next_T, ahead_T = NEXT_W[hour_T], AHEAD_W[hour_T]
    ones_T = np.ones(len(bars))
    return np.column_stack([ones_T, level_T, next_T, ahead_T, level_T**2, level_T * next_T])


def learning_paths(edge: float, size: Size) -> tuple[Path, ...]:
    """Simulate the markets that rules are learnt from."""
    market = SimulatedMarket(n_bars=size.n_bars, edge=edge)
    seeds = range(LEARNING_SEED, LEARNING_SEED + size.n_seeds)
    return tuple(path_of(market.simulate(name, seed)) for seed in seeds for name in size.symbols)


def learn_exit_rule(way: Way, paths: Sequence[Path], size: Size) -> ExitRule:
    """Find the best rule: play it from random states, mend it by what was gained, and again.

    Parameters
    ----------
    way : Way
    paths : sequence of Path
        Of `learning_paths`.
    size : Size

    Returns
    -------
    ExitRule
    """
    pull_Z, room_Y = np.array(size.pull_Z), np.array(size.room_Y)
    n_factors = paths[0].factor_TK.shape[1]
    table_AZYK = np.zeros((len(way.hold_A), len(pull_Z), len(room_Y), n_factors))
    table_AZYK[1 : len(way.holds), :, :, 0] = pull_Z[:, None] - _FIRST_LIMIT
    rule = ExitRule(way, table_AZYK, pull_Z, room_Y)
    for _ in range(size.n_iterations):
        rule = _mended(rule, paths)
    return rule


def _mended(rule: ExitRule, paths: Sequence[Path]) -> ExitRule:
    fit = _Fit(len(rule.table_AZYK), rule.pull_Z, rule.room_Y, paths[0].factor_TK.shape[1])
    # The same states at every iteration, so that the rule comes to rest.
    rng = np.random.default_rng(LEARNING_SEED)
    for path in paths:
        bar_N = np.arange(WARM_UP_BARS, len(path.atr_T) - LONGEST_TRADE_BARS)
        side_N, span_N = rng.choice((-1.0, 1.0), len(bar_N)), path.price_TC[bar_N, 5]
        room_N, order_N = _random_states(rule.way, len(bar_N), rng)
        buffer_N = rule.way.buffer_atr * span_N
        done = played(rule, path, bar_N, side_N, room_N * span_N, buffer_N, order_N)
        fit.add(path, bar_N, side_N, room_N, order_N, done, span_N)
    return ExitRule(rule.way, fit.table(rule.way.first), rule.pull_Z, rule.room_Y)


def _random_states(
    way: Way, n_trades: int, rng: np.random.Generator
) -> tuple[FloatArray, IndexArray]:
    """Return rooms to the stop, near ones often, and orders to begin with."""
    near_N, far_N = rng.uniform(0.0, 1.5, n_trades), np.exp(rng.uniform(-1.2, 2.7, n_trades))
    room_N = np.where(rng.random(n_trades) < 0.3, near_N, far_N)
    order_N = rng.integers(way.first, len(way.holds), n_trades)
    if way.stops:
        moved_N = rng.random(n_trades) < 0.4
        order_N[moved_N] = rng.integers(len(way.holds), len(way.stop_A), moved_N.sum())
        room_N[moved_N] = way.stop_A[order_N[moved_N]]
    return room_N, order_N


class _Fit:
    """Least squares of gains on states, one table for each kind of trade."""

    def __init__(
        self, n_tables: int, pull_Z: FloatArray, room_Y: FloatArray, n_factors: int
    ) -> None:
        self.pull_Z, self.room_Y = pull_Z, room_Y
        self.shape = (n_tables, len(pull_Z), len(room_Y), n_factors)
        size = int(np.prod(self.shape[1:]))
        self.normal_AII = np.zeros((n_tables, size, size))
        self.moment_AI = np.zeros((n_tables, size))

    def add(
        self,
        path: Path,
        bar_N: IndexArray,
        side_N: FloatArray,
        room_N: FloatArray,
        kind_N: IndexArray,
        done: Played,
        unit_N: FloatArray,
    ) -> None:
        """Take in the trades that ended; their gains are counted in ``unit_N``."""
        ended_N = done.end_bar_N != NOT_ENDED
        add_to_normal_equations(
            self.normal_AII,
            self.moment_AI,
            kind_N[ended_N],
            (side_N * path.price_TC[bar_N, 4])[ended_N],
            room_N[ended_N],
            path.factor_TK[bar_N][ended_N],
            (done.foreseen_N / unit_N)[ended_N],
            self.pull_Z,
            self.room_Y,
        )

    def table(self, first: int) -> FloatArray:
        """Return the tables; those before ``first`` are 0."""
        table_AZYK = np.zeros(self.shape)
        for a in range(first, len(table_AZYK)):
            self.normal_AII[a].flat[:: len(self.moment_AI[a]) + 1] += _RIDGE
            solved_I = np.linalg.solve(self.normal_AII[a], self.moment_AI[a])
            table_AZYK[a] = solved_I.reshape(self.shape[1:])
        return table_AZYK


def played(
    rule: ExitRule,
    path: Path,
    bar_N: IndexArray,
    side_N: FloatArray,
    risk_N: FloatArray,
    buffer_N: FloatArray,
    order_N: IndexArray,
) -> Played:
    """Play trades alone, each from the close of its bar, with its stop and its first order."""
    return Played(
        *play(
            bar_N,
            side_N,
            risk_N,
            buffer_N,
            order_N,
            path.price_TC,
            path.factor_TK,
            rule.table_AZYK,
            rule.pull_Z,
            rule.room_Y,
            rule.way.hold_A,
            rule.way.stop_A,
            rule.way.max_orders,
        )
    )


def first_orders(
    rule: ExitRule, path: Path, bar_N: IndexArray, side_N: FloatArray, risk_N: FloatArray
) -> IndexArray:
    """Return the order of most value at each entry, given how far its stop lies away."""
    way, pull_N = rule.way, side_N * path.price_TC[bar_N, 4]
    table_AZYK = rule.table_AZYK[way.first : len(way.holds)]
    room_N = risk_N / path.price_TC[bar_N, 5]
    value_NA = values(table_AZYK, rule.pull_Z, rule.room_Y, pull_N, room_N, path.factor_TK[bar_N])
    best_N: IndexArray = value_NA.argmax(axis=1)
    return best_N + way.first


def learn_entry_values(rule: ExitRule, paths: Sequence[Path], risk_atr_S: FloatArray) -> FloatArray:
    """Return tables of what an entry is worth with each stop, in ATR, before costs.

    A table of its own for each stop, since which one is best hangs on small differences.
    """
    n_stops = len(risk_atr_S)
    fit = _Fit(n_stops, rule.pull_Z, _ENTRY_ROOM_Y, paths[0].factor_TK.shape[1])
    rng = np.random.default_rng(LEARNING_SEED + 1)
    for path in paths:
        bar_N = np.arange(WARM_UP_BARS, len(path.atr_T) - LONGEST_TRADE_BARS)
        side_N, atr_N = rng.choice((-1.0, 1.0), len(bar_N)), path.atr_T[bar_N]
        stop_N = rng.integers(0, n_stops, len(bar_N))
        risk_N, buffer_N = risk_atr_S[stop_N] * atr_N, rule.way.buffer_atr * atr_N
        order_N = first_orders(rule, path, bar_N, side_N, risk_N)
        done = played(rule, path, bar_N, side_N, risk_N, buffer_N, order_N)
        fit.add(path, bar_N, side_N, np.zeros(len(bar_N)), stop_N, done, atr_N)
    return fit.table(0)


def entry_values(
    table_SZYK: FloatArray, rule: ExitRule, path: Path, bar_N: IndexArray, side_N: FloatArray
) -> FloatArray:
    """Return what each entry is worth with each stop, in ATR, before costs: shape (N, S)."""
    pull_N = side_N * path.price_TC[bar_N, 4]
    room_N = np.zeros(len(bar_N))
    return values(table_SZYK, rule.pull_Z, _ENTRY_ROOM_Y, pull_N, room_N, path.factor_TK[bar_N])
