import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from market.bars import DataError
from market.labels import TripleBarrier
from market.simulate import SYMBOLS, SimulatedMarket
from market.truth import win_probability

ROOT = Path(__file__).parents[2]
TRADE = {"profit_atr": 2.0, "stop_atr": 2.0, "max_bars": 48}
DIGEST = """
import hashlib
from market.simulate import SimulatedMarket
bars = SimulatedMarket(n_bars=300, edge=0.15).bars("GBPJPY", 5)
print(hashlib.sha256(bars.close_T.tobytes() + bars.volume_T.tobytes()).hexdigest())
"""


def _market(n_bars=20_000, edge=0.15):
    return SimulatedMarket(n_bars=n_bars, edge=edge)


def _truth(simulation, bar_N, direction_N, rng_seed=0, n_paths=200, **trade):
    rng = np.random.default_rng(rng_seed)
    # The mean range is an average true range, since every bar opens at the close before it.
    atr_T = simulation.mean_range_T
    options = TRADE | trade
    return win_probability(
        simulation, bar_N, direction_N, atr_T, n_paths=n_paths, rng=rng, **options
    )


def _events(n_events, n_bars=20_000, seed=0):
    rng = np.random.default_rng(seed)
    return np.linspace(500, n_bars - 100, n_events).astype(int), rng.choice([-1, 1], n_events)


def _wins(simulation, bar_N, direction_N):
    labels = TripleBarrier(**TRADE).label(
        simulation.bars, simulation.mean_range_T, bar_N, direction_N.astype(np.int8)
    )
    return labels.label_N


def _autocorrelation(x_T, lag):
    return np.corrcoef(x_T[lag:], x_T[:-lag])[0, 1]


def _standard_returns(simulation):
    """Return of each bar but the first in units of its volatility."""
    return np.diff(np.log(simulation.bars.close_T)) / simulation.sigma_T[1:]


def _same(one, other):
    names = ("start_T", "open_T", "high_T", "low_T", "close_T", "volume_T")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_another_process_makes_the_same_bars():
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(digests) == 1


def test_a_symbol_does_not_depend_on_which_others_are_asked_for():
    market = _market(500)
    alone = market.bars("XAUUSD", 3)
    everyone = {symbol: market.bars(symbol, 3) for symbol in market.symbols}
    assert _same(everyone["XAUUSD"], alone)
    assert len(market.symbols) == 11


def test_symbols_and_seeds_differ_from_one_another():
    market = _market(2_000)
    returns = [
        np.diff(np.log(market.bars(symbol, seed).close_T))
        for symbol in market.symbols
        for seed in (0, 1)
    ]
    others = np.corrcoef(returns)[~np.eye(len(returns), dtype=bool)]
    assert np.abs(others).max() < 0.12


@given(
    seed=st.integers(0, 2**64),
    symbol=st.sampled_from(list(SYMBOLS)),
    edge=st.sampled_from([0.0, 0.15, 1.0]),
)
@settings(max_examples=40, deadline=None)
def test_bars_are_whole(seed, symbol, edge):
    bars = _market(400, edge).bars(symbol, seed)
    assert (bars.low_T > 0).all()
    assert (bars.high_T >= np.maximum(bars.open_T, bars.close_T)).all()
    assert (bars.low_T <= np.minimum(bars.open_T, bars.close_T)).all()
    assert (bars.volume_T >= 1).all()
    assert np.array_equal(bars.open_T[1:], bars.close_T[:-1])
    digits = SYMBOLS[symbol].digits
    np.testing.assert_allclose(bars.high_T, np.round(bars.high_T, digits), rtol=1e-14)


def test_the_week_opens_on_sunday_evening_and_closes_on_friday_evening():
    bars = _market(1_000).bars("EURUSD", 0)
    step_T = np.diff(bars.start_T)
    hole_T = step_T != bars.length
    opens_T, lasts_T = bars.start_T[1:][hole_T], bars.start_T[:-1][hole_T]
    assert set(step_T[hole_T]) == {np.timedelta64(49, "h")}
    assert {str(time.astype(object).strftime("%A %H")) for time in opens_T} == {"Sunday 21"}
    assert {str(time.astype(object).strftime("%A %H")) for time in lasts_T} == {"Friday 20"}
    assert bars.start_T[0] == np.datetime64("2010-01-03T21:00")


@pytest.mark.parametrize("n_bars", [1, 119, 121, 700])
def test_fewer_bars_are_the_beginning_of_more(n_bars):
    assert _same(_market(n_bars).bars("AUDUSD", 4), _market(1_000).bars("AUDUSD", 4).until(n_bars))


def test_volatility_clusters_while_returns_without_an_edge_do_not():
    for symbol in ("EURUSD", "USDJPY", "XAUUSD"):
        return_T = np.diff(np.log(_market(edge=0.0).bars(symbol, 1).close_T))
        assert min(_autocorrelation(np.abs(return_T), lag) for lag in (1, 2, 24, 48)) > 0.1
        assert max(abs(_autocorrelation(return_T, lag)) for lag in (1, 2, 24, 48)) < 0.03
        assert np.mean(return_T**4) / np.mean(return_T**2) ** 2 > 4


def test_large_moves_raise_the_variance_of_the_next_bar():
    simulation = _market(edge=0.3).simulate("AUDUSD", 2)
    shock_T = _standard_returns(simulation) - 0.3 * simulation.state_T[:-1]
    before_T, after_T = simulation.variance_T[:-1], simulation.variance_T[1:]
    np.testing.assert_allclose(after_T, 0.04 + before_T * (0.06 * shock_T**2 + 0.9), atol=0.02)
    assert after_T.mean() == pytest.approx(1, abs=0.05)


def test_every_regime_is_visited_and_moves_more_than_the_quieter_one():
    simulation = _market(edge=0.0).simulate("GBPUSD", 2)
    range_T = np.log(simulation.bars.high_T / simulation.bars.low_T)
    mean_R = [range_T[simulation.regime_T == regime].mean() for regime in (0, 1, 2)]
    assert mean_R[0] < 0.85 * mean_R[1] < 0.85**2 * mean_R[2]


def test_london_and_new_york_are_livelier_than_asia():
    bars = _market(edge=0.0).bars("EURGBP", 2)
    hour_T = bars.start_T.astype("datetime64[h]").astype(int) % 24
    range_T = np.log(bars.high_T / bars.low_T)
    asia, overlap = (range_T[(hour_T >= a) & (hour_T < b)].mean() for a, b in ((0, 6), (13, 16)))
    assert overlap > 1.7 * asia


def test_volume_goes_with_volatility():
    bars = _market().bars("USDCHF", 2)
    assert np.corrcoef(bars.volume_T, bars.high_T - bars.low_T)[0, 1] > 0.6


@pytest.mark.parametrize("edge", [0.0, 0.15, 1.0])
def test_prices_stay_sensible_over_sixteen_years(edge):
    for symbol in ("EURUSD", "XAUUSD"):
        bars = _market(100_000, edge).bars(symbol, 7)
        assert 0.2 < bars.low_T.min() / bars.open_T[0] < bars.high_T.max() / bars.open_T[0] < 5
        assert bars.start_T[-1] < np.datetime64("2026-01-01")


def test_the_state_follows_from_the_bars_alone():
    simulation = _market(3_000).simulate("EURJPY", 6)
    bars, weight = simulation.bars, 2 / 49
    ema, mean_range = bars.open_T[0], 1.4 * SYMBOLS["EURJPY"].base_sigma * bars.open_T[0]
    state_T = []
    for close, reach in zip(bars.close_T, bars.high_T - bars.low_T, strict=True):
        ema = (1 - weight) * ema + weight * close
        mean_range = (1 - weight) * mean_range + weight * reach
        state_T.append(-math.tanh((close - ema) / (2 * mean_range)))
    np.testing.assert_allclose(simulation.state_T, state_T, atol=1e-9)


@pytest.mark.parametrize("edge", [0.0, 0.15, 0.5])
def test_the_next_bar_drifts_by_edge_times_volatility_times_state(edge):
    simulations = [_market(edge=edge).simulate(symbol, 8) for symbol in SYMBOLS]
    state = np.concatenate([simulation.state_T[:-1] for simulation in simulations])
    moves = np.concatenate([_standard_returns(simulation) for simulation in simulations])
    slope = np.sum(state * moves) / np.sum(state**2)
    standard_error = 1 / np.sqrt(np.sum(state**2))
    assert abs(slope - edge) < 3.5 * standard_error
    assert np.std(moves - edge * state) == pytest.approx(1, abs=0.01)


def test_without_an_edge_symmetric_trades_are_coin_tosses_whatever_the_state():
    simulation = _market(edge=0.0).simulate("EURUSD", 3)
    bar_N, direction_N = _events(300)
    truth_N = _truth(simulation, bar_N, direction_N)
    assert np.abs(truth_N - 0.5).max() < 0.03
    assert abs(np.corrcoef(truth_N, simulation.state_T[bar_N] * direction_N)[0, 1]) < 0.2


def test_the_default_edge_is_modest_and_lies_in_the_state():
    conf = OmegaConf.to_container(OmegaConf.load(ROOT / "conf/data/demo.yaml"))
    assert conf.pop("kind") == "demo"
    simulation = SimulatedMarket(**conf).simulate("GBPUSD", 3)
    bar_N, direction_N = _events(600, len(simulation.bars))
    pick_N = _truth(simulation, bar_N, direction_N) > 0.5
    truth_N = _truth(simulation, bar_N, direction_N, rng_seed=1)
    assert 0.575 < np.where(pick_N, truth_N, 1 - truth_N).mean() < 0.605
    assert np.corrcoef(truth_N, simulation.state_T[bar_N] * direction_N)[0, 1] > 0.95


@pytest.mark.parametrize("edge", [0.0, 0.15, 0.5])
def test_trades_win_as_often_as_the_truth_says(edge):
    truths, wins = [], []
    for symbol in ("EURUSD", "USDJPY", "NZDUSD", "XAUUSD"):
        simulation = _market(edge=edge).simulate(symbol, 9)
        bar_N, direction_N = _events(800)
        truths.append(_truth(simulation, bar_N, direction_N, n_paths=100))
        wins.append(_wins(simulation, bar_N, direction_N))
    truth_N, won_N = np.concatenate(truths), np.concatenate(wins)
    for rows in np.array_split(np.argsort(truth_N), 4):
        error = np.sum(won_N[rows] - truth_N[rows])
        assert abs(error) < 3.5 * np.sqrt(np.sum(truth_N[rows] * (1 - truth_N[rows])))


def test_one_bar_without_barriers_wins_as_the_normal_distribution_says():
    simulation = _market(edge=0.5).simulate("USDCAD", 3)
    bar_N, direction_N = _events(50)
    truth_N = _truth(
        simulation, bar_N, direction_N, n_paths=4_000, profit_atr=99.0, stop_atr=99.0, max_bars=1
    )
    drift_N = 0.5 * simulation.state_T[bar_N] * direction_N
    exact_N = [(1 + math.erf(drift / math.sqrt(2))) / 2 for drift in drift_N]
    np.testing.assert_allclose(truth_N, exact_N, atol=0.025)


def test_the_truth_knows_how_much_the_next_hour_will_move():
    simulation = _market(edge=0.0).simulate("USDCAD", 3)
    bar_N = np.arange(1_000, 1_480)
    trade = {"profit_atr": 99.0, "stop_atr": 0.5, "max_bars": 1}
    truth_N = _truth(simulation, bar_N, np.ones_like(bar_N), n_paths=1_000, **trade)
    reach_N = simulation.sigma_T[bar_N + 1] * simulation.bars.close_T[bar_N]
    reach_N /= simulation.mean_range_T[bar_N]
    assert np.corrcoef(truth_N, np.log(reach_N))[0, 1] < -0.95


def test_without_an_edge_the_nearer_barrier_is_hit_in_proportion():
    simulation = _market(edge=0.0).simulate("USDCAD", 3)
    bar_N, direction_N = _events(50)
    truth_N = _truth(simulation, bar_N, direction_N, profit_atr=3.0, stop_atr=6.0, max_bars=2_000)
    assert truth_N.mean() == pytest.approx(2 / 3, abs=0.02)


def test_long_and_short_never_both_win():
    simulation = _market(2_000).simulate("USDCAD", 3)
    bar_N = np.arange(100, 1_900, 20)
    near = {"profit_atr": 0.4, "stop_atr": 0.4}
    long_N = _truth(simulation, bar_N, np.ones_like(bar_N), **near)
    short_N = _truth(simulation, bar_N, -np.ones_like(bar_N), **near)
    assert (long_N + short_N <= 1).all()
    assert 0.5 < (long_N + short_N).mean() < 0.95


def test_the_truth_at_a_bar_ignores_what_came_after():
    bar_N, direction_N = np.array([899]), np.array([1])
    truths = [
        _truth(_market(n_bars).simulate("EURUSD", 2), bar_N, direction_N) for n_bars in (900, 5_000)
    ]
    assert np.array_equal(*truths)


@pytest.mark.parametrize(
    ("n_bars", "edge", "message"),
    [
        (0, 0.1, "n_bars must be from 1 to 100000, was 0"),
        (100_001, 0.1, "n_bars must be from 1 to 100000, was 100001"),
        (100, -0.1, "edge must be from 0 to 1, was -0.1"),
        (100, math.nan, "edge must be from 0 to 1, was nan"),
    ],
)
def test_a_market_out_of_range_is_refused(n_bars, edge, message):
    with pytest.raises(ValueError, match=message):
        SimulatedMarket(n_bars=n_bars, edge=edge)


def test_an_unknown_symbol_or_a_negative_seed_is_refused():
    with pytest.raises(DataError, match="no simulated symbol 'EURSEK', choose from EURUSD, GBP"):
        _market(10).bars("EURSEK", 0)
    with pytest.raises(ValueError, match="seed must be at least 0, was -1"):
        _market(10).bars("EURUSD", -1)


@pytest.mark.parametrize(
    ("bar", "direction", "options", "message"),
    [
        (10, 1, {}, "events must lie in bars 0 to 9"),
        (-1, 1, {}, "events must lie in bars 0 to 9"),
        (5, 0, {}, "direction must be 1 or -1 at every event"),
        (5, 1, {"profit_atr": 0.0}, "barriers must be above 0 ATR, were 0.0 and 2.0"),
        (5, 1, {"max_bars": 0}, "max_bars must be at least 1, was 0"),
        (5, 1, {"n_paths": 3}, "n_paths must be even and at least 2, was 3"),
    ],
)
def test_a_trade_out_of_range_is_refused(bar, direction, options, message):
    simulation = _market(10).simulate("EURUSD", 0)
    with pytest.raises(ValueError, match=message):
        _truth(simulation, np.array([bar]), np.array([direction]), **options)


def test_an_event_without_an_atr_is_refused():
    simulation = _market(10).simulate("EURUSD", 0)
    atr_T = np.full(10, np.nan)
    with pytest.raises(ValueError, match="ATR must be above 0 at every event, was nan at event 0"):
        win_probability(
            simulation,
            np.array([3]),
            np.array([1]),
            atr_T,
            n_paths=2,
            rng=np.random.default_rng(0),
            **TRADE,
        )
