"""Holding to stop, target or time is what labels are made of: the triple barrier is the check."""

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtest.alone import each_alone
from backtest.costs import Account, Costs, ExitSettings
from backtest.markets import Market
from backtest.replay import replay
from exits.conditions import ATR_BARS
from exits.policy import HoldToBarrier
from market.features.indicators import wilder_atr
from market.labels import TripleBarrier
from tests.backtest.comparison import evaluator, markets_of
from tests.backtest.strategies import scenarios
from tests.backtest.test_replay import FREE, NO_SESSIONS, QUIET, market, only

BARRIERS = {"profit_atr": 2.0, "stop_atr": 1.5, "max_bars": 4}


def held(*markets, costs=FREE, account=None, **barriers):
    policy = HoldToBarrier(**{**BARRIERS, **barriers})
    given = {"exits": NO_SESSIONS, "costs": costs, "account": account or Account()}
    return replay(markets, policy, **given)


def labels_of(one: Market, **barriers: float):
    """Return the bars of the wanted entries and the labels of their events."""
    bars = one.bars
    bar_N = np.flatnonzero((one.signal_T != 0) & (one.confidence_T >= one.threshold))
    atr_T = wilder_atr(*(np.array(x) for x in (bars.high_T, bars.low_T, bars.close_T)), ATR_BARS)
    found = TripleBarrier(**barriers).label(bars, atr_T, bar_N, one.signal_T[bar_N])
    return bar_N, found


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    scenario=scenarios(),
    profit_atr=st.floats(0.2, 8.0),
    stop_atr=st.floats(0.2, 8.0),
    max_bars=st.integers(1, 40),
)
def test_each_event_by_itself_ends_as_its_label_says(scenario, profit_atr, stop_atr, max_bars):
    one = markets_of(scenario)[0]
    barriers = {"profit_atr": profit_atr, "stop_atr": stop_atr, "max_bars": max_bars}
    bar_N, labels = labels_of(one, **barriers)
    trades = each_alone(
        [one], HoldToBarrier(**barriers), exits=ExitSettings(), costs=FREE, account=Account()
    )
    # A time that is up ends the trade at the next open, where there is one.
    exit_bar_N = labels.end_bar_N + labels.timed_out_N
    known_N = (labels.label_N >= 0) & (exit_bar_N < len(one.bars))
    np.testing.assert_array_equal(trades["signal_bar"], bar_N[known_N])
    np.testing.assert_array_equal(trades["exit_bar"], exit_bar_N[known_N])
    by_time_N = labels.timed_out_N[known_N]
    np.testing.assert_array_equal(trades["exit_rule"] == "barrier_time", by_time_N)
    won_N = labels.label_N[known_N] == 1
    r_N, price_N = trades["r_multiple"].to_numpy(), trades["exit_price"].to_numpy()
    np.testing.assert_array_equal((r_N > 0)[~by_time_N], won_N[~by_time_N])
    opened_N = one.bars.open_T[exit_bar_N[known_N]]
    np.testing.assert_allclose(price_N[by_time_N], opened_N[by_time_N], rtol=1e-12)


def test_a_target_pays_its_distance_and_a_stop_costs_one_r():
    up = only(held(market((100.0, 100.5, 99.5, 100.2), (100.2, 103.0, 100.0, 102.5))).trades)
    assert (up["exit_rule"], up["exit_reason"]) == ("barrier_target", "take_profit")
    assert up["exit_price"] == pytest.approx(102.0)
    assert (up["risk_price"], up["r_multiple"]) == pytest.approx((1.5, 2.0 / 1.5))
    down = only(held(market((100.0, 100.5, 98.0, 98.2))).trades)
    assert (down["exit_rule"], down["exit_reason"]) == ("stop_initial", "stop_loss")
    assert (down["exit_price"], down["r_multiple"]) == pytest.approx((98.5, -1.0))


def test_stop_and_target_in_one_bar_is_the_stop():
    assert only(held(market((100.0, 103.0, 98.0, 101.0))).trades)["exit_rule"] == "stop_initial"


def test_time_ends_a_trade_at_the_open_after_its_last_bar():
    bars = ((100.0, 100.4, 99.6, 100.1),) * 4 + ((100.3, 110.0, 90.0, 100.0),)
    trade = only(held(market(*bars)).trades)
    assert (trade["exit_rule"], trade["exit_reason"]) == ("barrier_time", "time_limit")
    assert (trade["exit_bar"] - trade["entry_bar"], trade["exit_price"]) == pytest.approx(
        (4, 100.3)
    )


def test_the_distances_count_from_the_fill_with_its_costs():
    costs = Costs(spread_atr=0.2, commission_atr=0.1, slippage_atr=0.04)
    trade = only(held(market((100.0, 100.5, 98.0, 98.2)), costs=costs).trades)
    assert trade["entry_price"] == pytest.approx(100.12)
    assert trade["initial_stop"] == pytest.approx(98.62)
    assert trade["r_multiple"] == pytest.approx(-(1.5 + 0.12 + 0.1) / 1.5)


def test_no_other_rule_ends_a_trade_or_touches_it():
    quiet, against = (100.0, 100.4, 99.6, 100.0), ((QUIET - 1, 1), (QUIET + 2, -1))
    told = market(*(quiet,) * 70, signals=against, confidence=0.99)
    outcome = replay(
        [told],
        HoldToBarrier(profit_atr=9.0, stop_atr=9.0, max_bars=60),
        exits=ExitSettings(),
        costs=FREE,
        account=Account(),
        evaluator=evaluator(),
    )
    trade = only(outcome.trades)
    assert (trade["exit_rule"], trade["bars_held"]) == ("barrier_time", 61)
    assert (trade["n_updates"], trade["n_partials"], trade["n_stop_moves"]) == (0, 0, 0)


def test_only_room_keeps_an_entry_from_being_held():
    quiet = ((100.0, 100.4, 99.6, 100.0),) * 3
    pair = [market(*quiet, symbol=name) for name in "AB"]
    account = Account(risk_per_trade=0.01, max_open_risk=0.01)
    outcome = held(*pair, account=account)
    assert {name: n for name, n in outcome.skipped.items() if n} == {"open_risk": 1}
    roomy = held(*pair)
    assert pl.concat([roomy.trades, roomy.open_positions]).height == 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"profit_atr": 0.0}, "profit_atr must be above 0, was 0.0"),
        ({"stop_atr": float("nan")}, "stop_atr must be above 0, was nan"),
        ({"max_bars": 0}, "max_bars must be at least 1, was 0"),
    ],
)
def test_barriers_out_of_range_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        HoldToBarrier(**{**BARRIERS, **wrong})
