"""What a replay makes of a few bars, with the arithmetic in the test."""

from datetime import UTC

import numpy as np
import pytest

from backtest.costs import Account, Costs, ExitSettings
from backtest.markets import Market
from backtest.replay import replay
from exits.exploring import Exploring
from exits.parameters import ATR, INDEX, NAMES, defaults
from exits.policy import Decided, Defaults
from market.bars import Bars
from tests.backtest.comparison import replayed as compared
from tests.backtest.strategies import drawn

MINUTE = np.timedelta64(60_000_000, "us")
START = np.datetime64("2024-01-02T08:00", "us")
FREE = Costs(spread_atr=0.0, commission_atr=0.0, slippage_atr=0.0)
NO_SESSIONS = ExitSettings(sessions=())
# 40 quiet bars from 99.5 to 100.5 first, so that the ATR is 1 and a tick a quarter.
QUIET = 40


def market(*later, symbol="X", signals=((QUIET - 1, 1),), confidence=0.9, minutes=1, start=START):
    """Return quiet bars and the given ones (open, high, low, close), with signals at bars."""
    length = minutes * MINUTE
    rows = [(100.0, 100.5, 99.5, 100.0)] * QUIET + list(later)
    open_T, high_T, low_T, close_T = np.array(rows, float).T
    n_bars = len(rows)
    start_T = start + np.arange(n_bars) * length
    bars = Bars(symbol, start_T, open_T, high_T, low_T, close_T, np.full(n_bars, 50.0), length)
    signal_T = np.zeros(n_bars, np.int8)
    confidence_T = np.full(n_bars, np.nan)
    for bar, side in signals:
        signal_T[bar], confidence_T[bar] = side, confidence
    return Market(
        symbol=symbol, bars=bars, signal_T=signal_T, confidence_T=confidence_T, threshold=0.5
    )


def replayed(*markets, policy=None, costs=FREE, account=None, on_progress=None, **parameters):
    given = {"sideways_avoid_new_entry": 0.0, **parameters}
    return replay(
        markets,
        policy or Defaults(given),
        exits=NO_SESSIONS,
        costs=costs,
        account=account or Account(),
        on_progress=on_progress,
    )


def only(frame):
    assert len(frame) == 1
    return frame.row(0, named=True)


def test_a_trade_enters_at_the_next_open_and_loses_one_r_at_its_stop():
    # A good entry: 3.6 ATR x 2, but at most 11 ticks of a quarter: 2.75.
    trade = only(replayed(market((100.2, 100.4, 99.9, 100.2), (100.0, 100.1, 96.0, 96.5))).trades)
    assert (trade["entry_bar"], trade["exit_bar"], trade["bars_held"]) == (40, 41, 2)
    assert trade["entry_price"] == 100.2
    assert trade["initial_stop"] == pytest.approx(97.45)
    assert trade["exit_price"] == pytest.approx(97.45)
    assert trade["r_multiple"] == pytest.approx(-1.0)
    assert trade["pnl"] == pytest.approx(-500.0)
    assert (trade["exit_rule"], trade["exit_reason"]) == ("stop_initial", "stop_loss")


def test_what_happens_within_a_bar_is_known_at_its_close_and_orders_fill_at_its_open():
    def after(minutes):
        return (START + minutes * MINUTE).astype(object).replace(tzinfo=UTC)

    stopped = only(replayed(market((100.0, 100.4, 99.9, 100.2), (100.0, 100.1, 96.0, 96.5))).trades)
    names = ("signal_time", "entry_time", "exit_time")
    assert [stopped[name] for name in names] == [after(40), after(40), after(42)]
    told = market((100.0, 103.4, 99.9, 103.3), (103.0, 103.1, 102.9, 103.0))
    outcome = replayed(told, should_exit_now=1.0)
    assert only(outcome.trades)["exit_time"] == after(41)
    assert only(outcome.partials)["time"] == after(41)
    ordered = replayed(told, should_take_partial_2=1.0, partial_1_r=2.0)
    assert only(ordered.partials)["time"] == after(41)


def test_each_side_bears_half_of_the_costs():
    costs = Costs(spread_atr=0.2, commission_atr=0.1, slippage_atr=0.04)
    bars = market((100.2, 100.4, 99.9, 100.2), (100.0, 100.1, 96.0, 96.5))
    trade = only(replayed(bars, costs=costs).trades)
    assert trade["entry_price"] == pytest.approx(100.2 + 0.1 + 0.02)
    assert trade["exit_price"] == pytest.approx(100.32 - 2.75 - 0.12)
    assert trade["cost_r"] == pytest.approx(0.34 / 2.75)
    assert trade["r_multiple"] == pytest.approx(-(2.75 + 0.12 + 0.1) / 2.75)


def test_a_stop_that_is_jumped_over_fills_at_the_open():
    trade = only(replayed(market((100.0, 100.1, 99.9, 100.0), (95.0, 96.0, 94.0, 95.0))).trades)
    assert trade["exit_price"] == 95.0
    assert trade["r_multiple"] == pytest.approx(-5.0 / 2.75)
    assert trade["mae_r"] == pytest.approx(-5.0 / 2.75)


def test_stop_and_target_in_one_bar_is_the_stop():
    trade = only(replayed(market((100.0, 120.0, 90.0, 110.0))).trades)
    assert trade["exit_rule"] == "stop_initial"
    assert trade["mfe_r"] == 0.0


def test_partials_close_their_shares_and_the_rest_goes_on_to_the_final_target():
    up = market((100.0, 109.7, 99.9, 109.5), (109.5, 114.0, 109.0, 113.0), (113, 113, 113, 113))
    parts = replayed(up, runner_target_r=5.0, runner_percentage=0.2)
    trade = only(parts.trades)
    # At 1.2 R and 2 R of 2.75; the third, at 3.5 R, would take what the runner keeps.
    assert parts.partials["price"].to_list() == pytest.approx([103.3, 105.5])
    assert parts.partials["share"].to_list() == pytest.approx([0.5, 0.3])
    left = 1.0 - sum(parts.partials["share"])
    expected = sum(parts.partials["share"] * parts.partials["r"]) + left * 5.0
    assert trade["r_multiple"] == pytest.approx(expected)
    assert trade["exit_rule"] == "final_target"


def test_positions_share_equity_and_the_limit_of_open_risk():
    quiet = ((100.0, 100.4, 99.6, 100.0),) * 3
    account = Account(risk_per_trade=0.01, max_open_risk=0.02)
    three = [market(*quiet, symbol=name) for name in "ABC"]
    outcome = replayed(*three, account=account)
    assert outcome.open_positions["symbol"].to_list() == ["A", "B"]
    assert outcome.skipped["open_risk"] == 1
    assert outcome.open_positions["quantity"].to_list() == pytest.approx([1000 / 2.75] * 2)
    assert outcome.equity["open_risk"][-1] == pytest.approx(0.02)


def test_the_next_trade_risks_a_share_of_what_is_left():
    fall = ((100.0, 100.0, 96.0, 97.0), (97.0, 97.0, 97.0, 97.0), (97.0, 97.0, 90.0, 90.0))
    trades = replayed(market(*fall, signals=((QUIET - 1, 1), (QUIET, 1)))).trades
    assert trades["equity_before"].to_list() == pytest.approx([100_000.0, 99_500.0])
    assert trades["pnl"][1] / trades["r_multiple"][1] == pytest.approx(99_500.0 * 0.005)


def test_what_is_open_at_the_end_has_lasted_until_then_and_is_valued_at_the_last_close():
    outcome = replayed(market(*((100.0, 100.4, 99.6, 100.0),) * 3, (100.0, 100.4, 99.9, 100.3)))
    held = only(outcome.open_positions)
    assert (held["entry_bar"], held["exit_bar"], held["bars_held"]) == (40, None, 4)
    assert held["r_multiple"] == pytest.approx(0.3 / 2.75)
    assert held["pnl"] == pytest.approx(outcome.equity["equity"][-1] - 100_000.0)


def test_an_entry_at_the_last_bar_is_in_no_list():
    outcome = replayed(market(signals=((QUIET - 1, 1),)))
    assert len(outcome.trades) == len(outcome.open_positions) == len(outcome.decisions) == 0


class Steps:
    """Other parameters at every asking."""

    name, fixed_P, reads_state = "steps", None, False

    def decide(self, asked):
        rows = defaults(np.array([one.atr for one in asked]))
        rows[:, INDEX["sideways_avoid_new_entry"]] = 0.0
        rows[:, INDEX["exit_param_update_frequency_bars"]] = 5.0
        rows[:, INDEX["dynamic_strategy_adaptation_rate"]] = 0.25
        rows[:, INDEX["trailing_distance_ticks"]] = [10.0 + 8.0 * one.number for one in asked]
        return Decided(rows, ("steps",) * len(asked))


def test_an_update_goes_part_of_the_way_and_takes_the_atr_whole():
    calm = ((100.0, 100.5, 99.5, 100.0),) * 12
    outcome = replayed(market(*calm), policy=Steps())
    assert outcome.decisions["bar"].to_list() == [39, 44, 49]
    distance_K = outcome.decided_KP[:, NAMES.index("trailing_distance_ticks")]
    assert distance_K.tolist() == [10.0, 12.0, 12.0 + 0.25 * (26.0 - 12.0)]
    np.testing.assert_array_equal(
        outcome.decided_KP[:, NAMES.index(ATR)], outcome.decisions["atr"].to_numpy()
    )
    np.testing.assert_array_equal(outcome.previous_KP[1:], outcome.decided_KP[:-1])


def test_a_target_within_a_long_bar_does_not_know_of_a_loss_later_in_it():
    def two(loses_at):
        quiet, fallen = (100.0, 100.5, 99.5, 100.0), (90.0, 90.5, 89.5, 90.0)
        slow = market((100.0, 103.5, 99.9, 100.5), quiet, symbol="slow", minutes=60)
        # The slow entry bar covers these fast bars from 60 to 119.
        later = [quiet] * (loses_at - QUIET) + [(100.0, 100.0, 90.0, 90.0)] + [fallen] * 60
        signals = ((loses_at - 2, 1),)
        start = slow.bars.start_T[QUIET - 1]
        return [market(*later, symbol="fast", signals=signals, start=start), slow]

    account = Account(risk_per_trade=0.02)
    during, after = (
        replayed(*two(bar), account=account, recovery_mode_sensitivity=1.0) for bar in (110, 125)
    )
    assert during.trades["symbol"].to_list()[0] == "fast"
    assert during.partials["price"].to_list() == after.partials["price"].to_list() == [103.3]


def test_parameters_of_entries_that_were_dropped_are_not_kept():
    held, late = ((100.0, 100.4, 99.6, 100.0),) * 9, [(k, 1) for k in range(QUIET - 1, QUIET + 9)]
    one_at_a_time = Account(risk_per_trade=0.01, max_open_risk=0.01)
    two = [market(*held, symbol=name, signals=late) for name in "AB"]
    outcome = replayed(*two, account=one_at_a_time, policy=Steps())
    assert outcome.skipped["open_risk"] == 10
    assert outcome.decisions["number"].to_list() == [0, 1]
    # Those of the last step, and of one that asked between two that were taken.
    assert len(outcome.parameters_MP) <= len(outcome.decisions) + 2


def test_a_policy_may_write_its_answers_into_one_array():
    class Thrifty(Steps):
        values_KP = np.empty((1, 132))

        def decide(self, asked):
            self.values_KP[:] = super().decide(asked).values_KP
            return Decided(self.values_KP, ("steps",))

    calm = market(*((100.0, 100.5, 99.5, 100.0),) * 12)
    thrifty, plain = replayed(calm, policy=Thrifty()), replayed(calm, policy=Steps())
    np.testing.assert_array_equal(thrifty.decided_KP, plain.decided_KP)


def test_a_policy_that_does_not_answer_with_numbers_is_refused():
    class Broken(Steps):
        def decide(self, asked):
            return Decided(np.full((len(asked), 132), np.nan), ("",) * len(asked))

    with pytest.raises(ValueError, match="exit policy steps: its answer is not finite"):
        replayed(market((100, 100, 100, 100)), policy=Broken())


def test_a_replay_repeats_and_progress_changes_nothing(monkeypatch):
    monkeypatch.setattr("backtest.replay._STEPS_PER_REPORT", 7)
    bars = market(*((100.0, 101.0, 99.3, 100.4),) * 30, signals=[(k, 1) for k in range(20, 60)])
    seen = []
    first = replayed(bars, policy=Exploring(explore=0.5, seed=3))
    again = replayed(
        bars, policy=Exploring(explore=0.5, seed=3), on_progress=lambda *done: seen.append(done)
    )
    assert first.trades.equals(again.trades)
    assert first.equity.equals(again.equity)
    np.testing.assert_array_equal(first.decided_KP, again.decided_KP)
    assert {(7 * k, 70) for k in range(7, 11)} <= set(seen)
    assert seen[-1] == (70, 70)


def test_logs_that_are_full_grow_and_keep_what_they_hold(monkeypatch):
    long = drawn("trends", 0, 600)
    roomy = compared(long)
    # Two steps of one symbol, 16 rows, is the least room there is.
    monkeypatch.setattr("backtest.replaying._MOST_ROOM_AT_FIRST", 0)
    cramped = compared(long)
    for name in ("trades", "partials", "stop_moves", "decisions"):
        assert len(getattr(roomy, name)) > 16
        assert getattr(cramped, name).equals(getattr(roomy, name)), name
    assert cramped.equity.equals(roomy.equity)


@pytest.mark.parametrize(
    ("signal", "confidence", "said"),
    [(2, 0.9, "each of signal_T must be 1, -1 or 0"), (1, np.nan, "has no probability")],
)
def test_signals_that_cannot_be_traded_are_refused(signal, confidence, said):
    with pytest.raises(ValueError, match=said):
        market(signals=((5, signal),), confidence=confidence)


def test_a_bar_that_is_no_number_is_refused_by_name():
    with pytest.raises(ValueError, match="X: bar 41: low is nan, no number"):
        market((100, 100, 100, 100), (100, 100, np.nan, 100))


def test_a_symbol_given_twice_is_refused():
    with pytest.raises(ValueError, match="each symbol must be given once, were X, X"):
        replayed(market(), market())


def test_no_symbols_are_no_trades():
    assert replayed().trades.is_empty()


def test_a_symbol_without_bars_takes_room_for_a_week_and_then_no_more():
    ended = market((100.0, 100.4, 99.6, 100.0), symbol="A")
    days = np.timedelta64(1440, "m") // MINUTE
    later = [
        market((100.0, 100.4, 99.6, 100.0), symbol="B", start=START + n_days * days * MINUTE)
        for n_days in (7, 8)
    ]
    account = Account(risk_per_trade=0.01, max_open_risk=0.01)
    skipped = [replayed(ended, one, account=account).skipped["open_risk"] for one in later]
    assert skipped == [1, 0]


def test_nobody_is_asked_about_an_entry_that_there_is_no_room_for():
    class Counting(Steps):
        asked = 0

        def decide(self, asked):
            self.asked += len(asked)
            return super().decide(asked)

    quiet = ((100.0, 100.4, 99.6, 100.0),) * 3
    policy = Counting()
    pair = [
        market(*quiet, symbol=name, signals=((QUIET - 1 + k, 1),)) for k, name in enumerate("AB")
    ]
    outcome = replayed(
        *pair, policy=policy, account=Account(risk_per_trade=0.01, max_open_risk=0.01)
    )
    assert outcome.skipped["open_risk"] == 1
    assert policy.asked == 1
