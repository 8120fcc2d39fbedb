"""The slow reference itself, on paths of a few bars with the arithmetic beside them.

ATR is 1 at the signal bar, so a tick is 0.25; an entry at 100 with a confidence of 0.6 risks
4 x 1 x 0.5 = 2: its stop is at 98, its first target 1.2 R away at 102.4.
"""

from datetime import datetime, timedelta

import pytest

from exits.parameters import PARAMETERS
from tests.backtest.reference import slow_replay
from tests.backtest.reference_bars import Bar
from tests.backtest.reference_state import Question, Settings, SlowMarket
from tests.backtest.themes import LENIENT

SIGNAL_BAR = (100.0, 100.5, 99.5, 100.0)
START = datetime(2024, 3, 5, 8)


def market(*prices, symbol="A", side=1):
    bars = [
        Bar(START + timedelta(minutes=t), *bar, 100.0)
        for t, bar in enumerate([SIGNAL_BAR, *prices])
    ]
    n_bars = len(bars)
    return SlowMarket(
        symbol=symbol,
        bars=bars,
        bar_minutes=1.0,
        signals=[side] + [0] * (n_bars - 1),
        confidences=[0.6] * n_bars,
        threshold=0.5,
    )


def run(*markets, settings=None, **parameters):
    chosen = {parameter.name: parameter.default for parameter in PARAMETERS}
    chosen |= {**LENIENT, "stop_mult": 4.0, **parameters}

    def policy(asked: Question):
        return {**chosen, "current_atr": asked.atr}

    return slow_replay(list(markets), policy, settings or Settings())


def only(found):
    (trade,) = found.trades
    return trade, trade["position"]


def test_a_bar_that_touches_stop_and_target_is_a_stop():
    trade, pos = only(run(market((100.0, 103.0, 98.0, 101.0))))
    assert (pos.entry, pos.stop, trade["exit_price"]) == (100.0, 98.0, 98.0)
    assert (trade["exit_rule"], trade["exit_reason"]) == ("stop_initial", "stop_loss")
    assert trade["r_multiple"] == -1.0
    assert (pos.peak, pos.worst) == (100.0, 98.0)
    # 0.5% of 100,000 at risk, 2 a unit.
    assert (pos.quantity, trade["pnl"]) == (250.0, -500.0)


def test_a_gap_through_the_stop_fills_at_the_open():
    trade, _ = only(run(market((100.0, 100.5, 99.5, 100.0), (97.0, 101.0, 96.0, 100.0))))
    assert (trade["exit_bar"], trade["exit_price"]) == (2, 97.0)
    assert trade["r_multiple"] == -1.5


def test_a_short_is_the_mirror_of_a_long():
    trade, pos = only(
        run(market((100.0, 100.5, 99.5, 100.0), (103.0, 104.0, 99.0, 100.0), side=-1))
    )
    assert (pos.stop, trade["exit_price"], trade["r_multiple"]) == (102.0, 103.0, -1.5)


def test_a_partial_brings_the_stop_to_breakeven():
    path = ((100.0, 102.4, 99.5, 102.0), (102.0, 102.2, 100.0, 101.0))
    trade, pos = only(run(market(*path), breakeven_after_partial=1))
    assert [(part["rule"], part["share"], part["price"]) for part in pos.partials] == [
        ("partial_1", 0.5, pytest.approx(102.4))
    ]
    assert [(move["bar"], move["new_stop"], move["kind"]) for move in pos.stop_moves] == [
        (1, 100.25, "breakeven")
    ]
    assert trade["exit_reason"] == "breakeven"
    # Half of 2.4 and half of 0.25, in R of 2.
    assert trade["r_multiple"] == pytest.approx((0.5 * 2.4 + 0.5 * 0.25) / 2)


@pytest.mark.parametrize(("close", "filled", "rejected"), [(102.0, 1, 0), (101.8, 0, 1)])
def test_a_partial_that_waited_is_filled_if_the_close_is_still_near_its_target(
    close, filled, rejected
):
    # Two ticks below 102.4 is 101.9.
    path = (
        (100.0, 102.4, 99.5, 102.2),
        (102.2, 102.3, 101.7, close),
        (102.1, 102.2, 97.0, 98.0),
    )
    trade, pos = only(run(market(*path), partial_timing_bars=1, should_adjust_stop=0))
    assert (len(pos.partials), pos.n_rejected) == (filled, rejected)
    assert [(part["bar"], part["price"]) for part in pos.partials] == [(3, 102.1)] * filled
    assert trade["exit_reason"] == "stop_loss"


def test_a_trade_that_got_too_old_is_closed_at_the_next_open():
    found = run(
        market(*[SIGNAL_BAR] * 3, (100.2, 100.4, 99.8, 100.0)),
        settings=Settings(minutes_per_bar=15.0),
        max_hold_duration_minutes=45,
    )
    trade, _ = only(found)
    # The third close since the entry bar is 3 x 15 minutes; the bar after opens at 100.2.
    assert (trade["exit_rule"], trade["exit_bar"], trade["exit_price"]) == ("max_hold", 4, 100.2)


def test_both_sides_bear_half_of_the_costs():
    settings = Settings(spread_atr=0.2, slippage_atr=0.1, commission_atr=0.1)
    trade, pos = only(run(market((100.0, 100.5, 98.0, 99.0)), settings=settings))
    # In at 100 + 0.15, stop 2 below at 98.15, out 0.15 worse; 0.05 a unit at either end.
    assert (pos.entry, trade["exit_price"]) == (pytest.approx(100.15), pytest.approx(98.0))
    assert trade["r_multiple"] == pytest.approx(-(2.15 + 0.1) / 2)
    assert trade["cost_r"] == pytest.approx((0.15 + 0.15 + 0.1) / 2)


def test_an_entry_beyond_the_open_risk_is_dropped_and_counted():
    quiet = (100.0, 100.5, 99.5, 100.0)
    settings = Settings(risk_per_trade=0.01, max_open_risk=0.01)
    found = run(market(quiet), market(quiet, symbol="B"), settings=settings)
    assert [trade["symbol"] for trade in found.open_positions] == ["A"]
    assert found.skipped == {"open_risk": 1}
