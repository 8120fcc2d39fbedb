from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.best_exit import BestExit, best_exit, best_exit_trades
from market.best_exit_rule import LEARNING_SEED, ExitRule, Size, Way, path_of, played
from market.simulate import SimulatedMarket

SMALL = Size(
    n_bars=16_000,
    symbols=("EURUSD", "GBPJPY"),
    n_iterations=3,
    pull_Z=(-1.5, -0.5, 0.0, 0.5, 1.5),
    room_Y=(0.0, 0.3, 1.0, 3.0, 9.0),
)
COSTS, STOP = 0.13, (1.8,)
N_BARS = 8_000
COLUMNS = ("exit_bar_N", "exit_price_N", "net_r_N", "steady_r_N", "stop_atr_N", "expected_r_N")


def _market(edge=0.3, n_bars=N_BARS):
    return SimulatedMarket(n_bars=n_bars, edge=edge)


def _entries(n_bars=N_BARS, step=3, symbol="AUDUSD"):
    return [(symbol, bar, 1 if bar % 2 else -1) for bar in range(300, n_bars - 500, step)]


def _trades(way="kept", edge=0.3, entries=None, stops_atr=STOP, market=None, **options):
    return best_exit_trades(
        market or _market(edge), entries or _entries(), costs_atr=COSTS, seed=3, way=way,
        stops_atr=stops_atr, size=SMALL, **options,
    )  # fmt: skip


def _rule(value_Z, way, n_factors=6):
    """Return a rule whose one order to hold is worth something that hangs on the pull alone."""
    table_AZYK = np.zeros((len(way.hold_A), 2, 2, n_factors))
    table_AZYK[1, :, :, 0] = np.array(value_Z)[:, None]
    return ExitRule(way, table_AZYK, np.array((-3.0, 3.0)), np.array((0.0, 1.0)))


def _play(rule, symbol, bar_N, side_N, stop_atr):
    path = path_of(_market().simulate(symbol, 3))
    bar_N, side_N = np.array(bar_N), np.array(side_N, dtype=float)
    risk_N, buffer_N = stop_atr * path.atr_T[bar_N], rule.way.buffer_atr * path.atr_T[bar_N]
    order_N = np.ones(len(bar_N), dtype=np.int64)
    return played(rule, path, bar_N, side_N, risk_N, buffer_N, order_N), risk_N


def _by_hand(simulation, bar, side, risk, limit):
    """Leave at the first close at which the pull is below the limit, or at the stop."""
    bars = simulation.bars
    stop = bars.open_T[bar + 1] - side * risk
    for t in range(bar + 1, len(bars)):
        if (bars.low_T[t] <= stop) if side > 0 else (bars.high_T[t] >= stop):
            return t, side * (stop - bars.open_T[bar + 1]), True
        if side * np.arctanh(simulation.state_T[t]) < limit:
            return t, side * (bars.close_T[t] - bars.open_T[bar + 1]), False
    return -1, np.nan, False


@settings(max_examples=20)
@given(st.floats(-0.9, 0.5), st.floats(0.3, 4.0), st.integers(100, N_BARS - 2))
def test_a_limit_of_the_pull_ends_a_trade_where_a_walk_along_the_bars_ends_it(limit, stop, bar):
    simulation = _market().simulate("USDJPY", 3)
    side = 1 if bar % 2 else -1
    done, risk_N = _play(_rule((-3.0 - limit, 3.0 - limit), Way()), "USDJPY", [bar], [side], stop)
    end, gain, stopped = _by_hand(simulation, bar, side, risk_N[0], limit)
    assert (done.end_bar_N[0], done.stopped_N[0]) == (end, stopped)
    assert done.gain_N[0] == pytest.approx(gain, rel=1e-9, abs=1e-12, nan_ok=True)


def test_net_r_is_the_gain_between_fills_less_costs_over_the_stop():
    entries, simulation = _entries(), _market().simulate("AUDUSD", 3)
    trades, path = _trades(entries=entries), path_of(simulation)
    _, bar_N, side_N = (np.array(column) for column in zip(*entries, strict=True))
    gain_N = side_N * (trades.exit_price_N - simulation.bars.open_T[bar_N + 1])
    net_atr_N = gain_N / path.atr_T[bar_N] - COSTS
    ended_N = trades.exit_bar_N >= 0
    assert ended_N.mean() > 0.95
    np.testing.assert_allclose(trades.net_atr_N[ended_N], net_atr_N[ended_N], atol=1e-9)
    np.testing.assert_allclose(trades.net_r_N, trades.net_atr_N / trades.stop_atr_N)


def test_a_stop_costs_one_r_and_the_costs_but_for_what_the_entry_pays():
    trades = _trades()
    lost_N = trades.net_r_N[trades.stopped_N]
    # Half of spread and slippage lies between open and entry, and is in R and in the costs.
    np.testing.assert_allclose(lost_N, -1.0 - (COSTS - 0.05) / 1.8, atol=1e-6)


def test_left_trades_fill_at_the_open_of_their_exit_bar():
    trades, bars = _trades(), _market().bars("AUDUSD", 3)
    left_N = (trades.exit_bar_N >= 0) & ~trades.stopped_N
    assert left_N.sum() > 100
    opens_N = bars.open_T[trades.exit_bar_N[left_N]]
    np.testing.assert_allclose(trades.exit_price_N[left_N], opens_N, rtol=1e-12)


@pytest.mark.parametrize("way", ["kept", "free", "watched", "asked"])
def test_bars_that_come_later_change_no_trade_that_ended_before(way):
    entries = _entries(n_bars=6_199)
    early, late = (_trades(way, entries=entries, market=_market(n_bars=n)) for n in (5_701, N_BARS))
    ended_N = early.exit_bar_N >= 0
    assert 0.95 < ended_N.mean() < 1.0
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(early, name)[ended_N], getattr(late, name)[ended_N])


def test_the_same_seed_gives_the_same_bytes():
    first = _trades("free")
    best_exit.cache_clear()
    again = _trades("free")
    for name in COLUMNS:
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes()


def test_steady_gains_have_the_mean_of_gains_and_less_noise():
    trades = _trades(entries=_entries(step=1), market=_market())
    net_N, steady_N = (x[~np.isnan(x)] for x in (trades.net_r_N, trades.steady_r_N))
    assert steady_N.std() < 0.6 * net_N.std()
    # Trades of neighbouring bars overlap: blocks of 100 entries are nearly independent.
    differences = (net_N - steady_N)[: len(net_N) // 100 * 100].reshape(-1, 100).mean(axis=1)
    assert abs(differences.mean()) < 4 * differences.std() / np.sqrt(len(differences))


def _value_of(rule, stop_atr=1.8):
    """Return the mean ATR gained by entries towards which the state pulls, before costs."""
    path, sums = path_of(_market(n_bars=30_000).simulate("AUDUSD", 3)), []
    for side in (-1.0, 1.0):
        bar_N = np.flatnonzero(side * path.price_TC[:29_000, 4] > 0.45)
        bar_N = bar_N[bar_N > 300]
        side_N, atr_N = np.full(len(bar_N), side), path.atr_T[bar_N]
        zero_N, one_N = np.zeros(len(bar_N)), np.ones(len(bar_N), dtype=np.int64)
        done = played(rule, path, bar_N, side_N, stop_atr * atr_N, zero_N, one_N)
        sums.append(done.foreseen_N / atr_N)
    return np.concatenate(sums).mean()


def test_the_rule_gains_more_on_other_seeds_than_time_exits_and_the_sign_of_the_state():
    best = _value_of(best_exit(Way(), 0.3, stops_atr=STOP, size=SMALL).rule)
    sign = _value_of(_rule((-3.0, 3.0), Way()))
    times = [_value_of(_rule((-1.0, -1.0), Way(holds=(0, n)))) for n in (6, 12, 24, 96)]
    assert best > sign + 0.02
    assert best > max(times) + 0.05


def test_moving_the_stop_and_asking_less_often_change_the_value_as_they_must():
    value = {way: np.nanmean(_trades(way).steady_r_N) for way in ("kept", "free", "asked")}
    assert value["asked"] < value["kept"] < value["free"]


def test_without_an_edge_leaving_gains_nothing_and_a_stop_what_it_fills_too_well():
    trades = _trades(edge=0.0, stops_atr=(5.0,), entries=_entries(step=1))
    gain_N = trades.steady_r_N * 5.0 + COSTS
    left_N = (trades.exit_bar_N >= 0) & ~trades.stopped_N
    # A price whose logarithm has no drift has a very little.
    assert np.abs(gain_N[left_N].mean()) < 0.01
    short_N = _trades(edge=0.0, stops_atr=(0.75,), entries=_entries(step=1))
    gift_N = (short_N.steady_r_N * 0.75 + COSTS)[short_N.stopped_N]
    # Theory: 0.58 of a step's volatility, a twelfth of a bar's variance, at about 1.4 per range.
    assert gift_N.mean() == pytest.approx(0.58 / np.sqrt(12) / 1.4, abs=0.03)


def test_a_trade_that_is_asked_about_every_five_bars_leaves_one_bar_after_an_asking():
    entries = _entries()
    trades = _trades("asked", entries=entries)
    bars_N = trades.exit_bar_N - np.array([bar for _, bar, _ in entries])
    left_N = (trades.exit_bar_N >= 0) & ~trades.stopped_N
    # After the tenth hold it is left without being asked.
    expected = {2 + 5 * k for k in range(11)} | {56}
    assert set(bars_N[left_N].tolist()) <= expected
    assert len(set(bars_N[left_N].tolist())) > 3


def test_a_stop_that_may_be_moved_never_loses_more_than_it_did_at_first():
    trades = _trades("free")
    moved_N = trades.stopped_N & (trades.net_atr_N > -1.0)
    assert moved_N.mean() > 0.5
    assert trades.net_r_N[trades.stopped_N].min() >= -1.0 - (COSTS - 0.05) / 1.8 - 1e-6


def test_a_watched_stop_loses_more_than_one_r_inside_a_bar_and_no_more_than_its_buffer():
    trades = _trades("watched")
    lost_N = trades.net_atr_N[trades.stopped_N]
    assert len(lost_N) > 10
    np.testing.assert_allclose(lost_N, -(1.8 - 0.05 + 1.25 + COSTS), atol=1e-6)


def test_the_stop_that_promises_most_is_taken():
    entries = _entries(step=20)
    chosen = _trades(entries=entries, stops_atr=(0.75, 5.0))
    each = [_trades(entries=entries, stops_atr=(stop,)) for stop in (0.75, 5.0)]
    assert set(chosen.stop_atr_N.tolist()) == {0.75, 5.0}
    for stop, alone in zip((0.75, 5.0), each, strict=True):
        taken_N = chosen.stop_atr_N == stop
        np.testing.assert_array_equal(chosen.exit_bar_N[taken_N], alone.exit_bar_N[taken_N])


def test_entries_of_several_symbols_come_back_in_their_order():
    one, other = _entries(step=40), _entries(step=40, symbol="EURGBP")
    mixed = [entry for pair in zip(one, other, strict=True) for entry in pair]
    trades = _trades(entries=mixed)
    np.testing.assert_array_equal(trades.exit_bar_N[::2], _trades(entries=one).exit_bar_N)
    np.testing.assert_array_equal(trades.exit_bar_N[1::2], _trades(entries=other).exit_bar_N)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"entries": [("AUDUSD", N_BARS, 1)]}, f"AUDUSD: bar must be from 0 to 7999, was {N_BARS}"),
        ({"entries": [("AUDUSD", 5, 0)]}, "AUDUSD: direction must be 1 or -1, was 0 at bar 5"),
        ({"way": "hope"}, "no way 'hope', choose from kept, free, watched, asked"),
        ({"stops_atr": (0.05,)}, "stops_atr must be above 0.05"),
    ],
)
def test_what_cannot_be_played_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _trades(**changes)


def test_the_markets_that_rules_are_learnt_from_serve_nothing_else():
    with pytest.raises(ValueError, match="learnt from, take another"):
        best_exit_trades(_market(), _entries(), costs_atr=COSTS, seed=LEARNING_SEED)
    with pytest.raises(ValueError, match="n_bars must be at least 3700"):
        replace(SMALL, n_bars=3_000)


def test_a_rule_is_learnt_once_in_a_process():
    first = best_exit(Way(), 0.3, stops_atr=STOP, size=SMALL)
    assert isinstance(first, BestExit)
    assert best_exit(Way(), 0.3, stops_atr=STOP, size=SMALL) is first
