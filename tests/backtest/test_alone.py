"""Trading each entry by itself is the replay of a market on which it is the only one."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtest.alone import count_wanted, each_alone
from backtest.costs import Account, ExitSettings
from backtest.markets import Market
from backtest.replay import replay
from backtest.replayed import TRADES
from exits.exploring import Exploring
from exits.feature_table import INDEX
from exits.parameters import IMMEDIATE
from exits.policy import Decided, Defaults
from tests.backtest.comparison import ScenarioPolicy, markets_of, settings_of
from tests.backtest.strategies import drawn, scenarios
from tests.backtest.test_decision_state import Recording
from tests.backtest.test_replay import FREE, NO_SESSIONS, QUIET, market
from tests.exits.replays import COSTS, LASTING

SETTINGS = {"exits": ExitSettings(), "costs": COSTS, "account": Account()}


def only_wanted(one: Market, bar: int) -> Market:
    """Return a market on which no other signal than that of a bar is strong enough to trade."""
    strong_T = np.arange(len(one.bars)) == bar
    confidence_T = np.where(strong_T, one.confidence_T, np.minimum(one.confidence_T, 0.5))
    return replace(one, confidence_T=confidence_T, threshold=max(one.threshold, 0.51))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenario=scenarios(), place=st.floats(0, 1))
def test_an_entry_alone_is_the_replay_in_which_no_other_is_wanted(scenario, place):
    one = markets_of(scenario)[0]
    wanted = np.flatnonzero((one.signal_T != 0) & (one.confidence_T > max(0.51, one.threshold)))
    if not len(wanted):
        return
    one = only_wanted(one, int(wanted[int(place * (len(wanted) - 1))]))
    told = settings_of(scenario)
    joint = replay([one], ScenarioPolicy(scenario), **told).trades
    alone = each_alone([one], ScenarioPolicy(scenario), **told)
    assert alone.drop("trade_id").equals(joint.drop("trade_id"))


@pytest.fixture(scope="module")
def markets():
    return markets_of(drawn("trends", 4, 900)) + markets_of(drawn("partials", 7, 900))[:1]


def named(markets):
    return [
        replace(one, symbol=f"M{k}", bars=replace(one.bars, symbol=f"M{k}"))
        for k, one in enumerate(markets)
    ]


def exploring(kind=Exploring):
    return kind(explore=0.2, seed=3, base=Defaults(LASTING), fixed=IMMEDIATE)


def policies():
    return (
        Defaults(LASTING),
        exploring(),
        Recording(exploring()),
    )


@pytest.mark.parametrize("policy", policies(), ids=["fixed", "asked", "reading"])
def test_many_at_a_time_are_as_each_by_itself(markets, policy, monkeypatch):
    told = named(markets)
    together = each_alone(told, policy, **SETTINGS)
    assert len(together) > 50
    assert together["n_updates"].sum() > 50
    monkeypatch.setattr("backtest.alone._LANES", 1)
    assert each_alone(told, policy, **SETTINGS).equals(together)


def test_reading_the_state_changes_nothing_by_itself(markets):
    _, asked, reading = (each_alone(named(markets), one, **SETTINGS) for one in policies())
    assert asked.equals(reading)


def test_the_state_is_that_of_a_fresh_account(markets):
    policy = Recording(Defaults(LASTING))
    each_alone(named(markets), policy, **SETTINGS)
    states_KF = np.array([one.state_F for one in policy.told.values()])
    number_K = np.array([one.number for one in policy.told.values()])
    for name in ("market_state.recent_pnl", "market_state.streak"):
        assert (states_KF[:, INDEX[name]] == 0).all()
    assert (states_KF[:, INDEX["outcome.wins_in_last_5_trades"]] == 0).all()
    assert (states_KF[number_K == 0, INDEX["current_atr"]] == 1).all()
    assert (number_K > 0).any()


def test_signals_before_the_beginning_are_not_traded_but_seen(markets):
    one = markets[0]
    since = one.bars.close_time_T[500]
    policy = Defaults(LASTING)
    late = each_alone([one], policy, since=since, **SETTINGS)
    whole = each_alone([one], policy, **SETTINGS)
    kept = whole.filter(pl.col("signal_bar") >= 500)
    assert late.drop("trade_id").equals(kept.drop("trade_id"))
    assert 0 < len(late) < len(whole)
    wanted = (one.signal_T != 0) & (one.confidence_T >= one.threshold)
    assert count_wanted([one], since) == wanted[500:].sum()


def test_a_trade_that_has_not_ended_is_left_out_and_counted():
    quiet = ((100.0, 100.4, 99.6, 100.0),) * 3
    told = {"exits": NO_SESSIONS, "costs": FREE, "account": Account()}
    one = market(*quiet, signals=((QUIET - 1, 1), (QUIET + 2, 1)))
    found = each_alone([one], Defaults({"sideways_avoid_new_entry": 0.0}), **told)
    assert found.equals(TRADES.to_frame())
    assert count_wanted([one]) == 2


def test_who_decided_the_entry_is_told_trade_by_trade(markets):
    class Two(Exploring):
        def decide(self, asked):
            found = super().decide(asked)
            return Decided(found.values_KP, tuple(f"at {one.bar}, {one.number}" for one in asked))

    found = each_alone(markets[:1], exploring(Two), **SETTINGS)
    expected = [f"at {bar}, 0" for bar in found["signal_bar"]]
    assert found["prediction_source"].to_list() == expected


def test_progress_ends_with_all_entries(markets):
    seen: list[tuple[int, int]] = []
    each_alone(
        named(markets),
        Defaults(LASTING),
        **SETTINGS,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1] == count_wanted(markets)


def test_no_markets_are_no_trades():
    assert each_alone([], Defaults(), **SETTINGS).equals(TRADES.to_frame())
