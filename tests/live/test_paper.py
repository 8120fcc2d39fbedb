"""Paper trading beside the backtest: the same bars, the same trades, whatever interrupts it."""

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtest.replay import replay
from exits.exploring import Exploring
from exits.policy import Defaults, HoldToBarrier
from live.events import HARVEST_INTENT
from live.paper_book import TradedBy
from live.paper_ledger import LedgerError
from tests.backtest.comparison import ScenarioPolicy, evaluator, markets_of, settings_of
from tests.backtest.strategies import Scenario, drawn, scenarios
from tests.backtest.test_truncation import cut_at
from tests.live.papers import BY, differences, on_paper, sqlite_bus, told

EXAMPLES = int(os.environ.get("ASSAY_FUZZ_EXAMPLES", "40"))
MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def both(folder, scenario, policy=None, **given_settings):
    """Return a scenario's replay and its paper account."""
    told_settings = settings_of(scenario) | given_settings
    markets, policy = markets_of(scenario), policy or ScenarioPolicy(scenario)
    on_bus, _ = on_paper(folder, sqlite_bus(folder), markets, policy, **told_settings)
    return replay(markets, policy, **told_settings), on_bus


def cut(market, n_bars):
    """Return a market's first bars with the signals on them."""
    return replace(
        market,
        bars=market.bars.until(n_bars),
        signal_T=market.signal_T[:n_bars],
        confidence_T=market.confidence_T[:n_bars],
    )


@MANY
@given(scenarios())
def test_the_same_bars_give_the_same_trades_partials_included(tmp_path_factory, scenario: Scenario):
    replayed, on_bus = both(tmp_path_factory.mktemp("paper"), scenario)
    assert differences(on_bus, replayed) == []


@pytest.mark.parametrize(
    "policy",
    [
        Defaults(),
        HoldToBarrier(profit_atr=1.0, stop_atr=1.0, max_bars=5),
        Exploring(explore=0.4, seed=1),
    ],
    ids=lambda policy: policy.name,
)
def test_every_policy_trades_on_paper_as_in_a_backtest(tmp_path, policy):
    replayed, on_bus = both(tmp_path, drawn("trends", 5, 400), policy, evaluator=evaluator())
    assert len(replayed.trades) > 3
    assert differences(on_bus, replayed) == []


def test_partials_and_closes_travel_over_either_bus_and_change_nothing(tmp_path, bus):
    scenario = drawn("partials", 3, 300)
    markets, policy = markets_of(scenario), ScenarioPolicy(scenario)
    found, executor = on_paper(tmp_path, bus, markets, policy, **settings_of(scenario))
    replayed = replay(markets, policy, **settings_of(scenario))
    assert differences(found, replayed) == []
    # Those of targets fill where they rest, and are nobody's order.
    assert executor.counts.placed > 10
    assert len(replayed.partials) > 10
    assert [one.R_net for one in told(bus)] == replayed.trades["r_multiple"].to_list()


@MANY
@given(scenarios(short_bars=False), st.floats(0.0, 1.0))
def test_an_account_goes_on_with_later_bars_as_if_it_had_never_stopped(
    tmp_path_factory, scenario: Scenario, share: float
):
    steps = np.unique(np.concatenate([m.bars.close_time_T for m in scenario.markets]))
    n_bars = cut_at(scenario, steps[int(share * (len(steps) - 1))])
    if min(n_bars) == 0:
        return
    folder, policy = tmp_path_factory.mktemp("paper"), ScenarioPolicy(scenario)
    for markets in (markets_of(scenario, n_bars), markets_of(scenario)):
        on_bus, _ = on_paper(folder, sqlite_bus(folder), markets, policy, **settings_of(scenario))
    replayed = replay(markets_of(scenario), policy, **settings_of(scenario))
    assert differences(on_bus, replayed) == []
    closed = [one.R_net for one in told(sqlite_bus(folder))]
    assert closed == replayed.trades["r_multiple"].to_list()


@MANY
@given(scenarios(), st.lists(st.integers(0, 60), max_size=4))
def test_interrupted_at_any_call_of_the_bus_an_account_ends_as_if_it_had_not_been(
    tmp_path_factory, scenario: Scenario, stops: list[int]
):
    folder, policy = tmp_path_factory.mktemp("paper"), ScenarioPolicy(scenario)
    markets, given_settings = markets_of(scenario), settings_of(scenario)
    for stop in stops:
        try:
            on_paper(folder, sqlite_bus(folder), markets, policy, stop_at=stop, **given_settings)
        except KeyboardInterrupt:
            continue
    on_bus, _ = on_paper(folder, sqlite_bus(folder), markets, policy, **given_settings)
    replayed = replay(markets, policy, **given_settings)
    assert differences(on_bus, replayed) == []
    # What was sent and not marked as sent comes twice; none is missing, and none differs.
    by_order = {one.order_id: one.R_net for one in told(sqlite_bus(folder))}
    assert list(by_order.values()) == replayed.trades["r_multiple"].to_list()


@MANY
@given(scenarios(short_bars=False), st.lists(st.floats(0.2, 1.0), min_size=6, max_size=6))
def test_bars_of_some_symbols_may_come_late_and_none_is_traded_twice(
    tmp_path_factory, scenario: Scenario, shares: list[float]
):
    whole, policy = markets_of(scenario), ScenarioPolicy(scenario)
    n_bars = [max(1, int(share * len(one.bars))) for one, share in zip(whole, shares, strict=False)]
    folder = tmp_path_factory.mktemp("paper")
    for markets in (markets_of(scenario, n_bars), whole, whole):
        found, _ = on_paper(folder, sqlite_bus(folder), markets, policy, **settings_of(scenario))
    assert found.n_bars == sum(len(one.bars) for one in whole)
    assert found.equity["time"].is_sorted()
    orders = [one.order_id for one in told(sqlite_bus(folder))]
    assert len(orders) == len(set(orders)) == len(found.trades)
    by_symbol = found.trades.partition_by("symbol") if len(found.trades) else []
    for trades in by_symbol:
        assert (trades["entry_bar"][1:] >= trades["exit_bar"][:-1]).all()


def test_a_symbol_may_join_and_leave_and_what_is_open_is_kept(tmp_path):
    first, second = drawn("trends", 5, 200), drawn("trends", 9, 200)
    [one], [other] = markets_of(first)[:1], markets_of(second)[:1]
    other = replace(other, symbol="JOINS", bars=replace(other.bars, symbol="JOINS"))
    half, policy = cut(one, 100), Defaults()
    settings, bus = settings_of(first), sqlite_bus(tmp_path)
    on_paper(tmp_path, bus, [half], policy, **settings)
    joined, _ = on_paper(tmp_path, bus, [one, other], policy, **settings)
    last = half.bars.close_time_T[-1]
    theirs = joined.trades.filter(joined.trades["symbol"] == "JOINS")
    assert len(theirs) > 0
    assert (theirs["signal_time"].dt.replace_time_zone(None).to_numpy() > last).all()
    left, _ = on_paper(tmp_path, bus, [one], policy, kept_bars=[other.bars], **settings)
    assert left.trades.equals(joined.trades)


def test_a_trade_is_told_with_the_model_that_entered_it_whatever_came_after(tmp_path):
    scenario = drawn("trends", 5, 400)
    policy, settings, whole = Defaults(), settings_of(scenario), markets_of(scenario)[:1]
    replayed = replay(whole, policy, **settings)
    middle = replayed.trades["signal_bar"][len(replayed.trades) // 2] + 1
    later = TradedBy("Council-later", "cd" * 32)
    on_paper(tmp_path, sqlite_bus(tmp_path), [cut(whole[0], middle)], policy, **settings)
    on_paper(tmp_path, sqlite_bus(tmp_path), whole, policy, by=later, **settings)
    by = {one.order_id: one.model_id for one in told(sqlite_bus(tmp_path))}
    entered = dict(zip(replayed.trades["trade_id"], replayed.trades["signal_bar"], strict=True))
    for order_id, model_id in by.items():
        bar = entered[int(order_id.rpartition("-")[2])]
        assert model_id == (BY.model_id if bar < middle else later.model_id)
    assert set(by.values()) == {BY.model_id, later.model_id}


def test_an_intent_that_the_bus_has_lost_is_sent_again_whatever_others_say(tmp_path, monkeypatch):
    class Forgetful:
        """Loses the first intent, and tells of one of another account at every look."""

        def __init__(self, bus):
            self._bus, self.n_lost = bus, 0

        def __getattr__(self, name):
            return getattr(self._bus, name)

        def publish(self, stream, events):
            if stream == HARVEST_INTENT and not self.n_lost:
                self.n_lost += 1
                return []
            return self._bus.publish(stream, events)

        def take(self, stream, *args, **kwargs):
            self._bus.publish(stream, [{"order_id": "paper-other-1"}])
            return self._bus.take(stream, *args, **kwargs)

    monkeypatch.setattr("live.paper._SENT_AGAIN_AFTER_S", 0.05)
    scenario, bus = drawn("partials", 3, 80), Forgetful(sqlite_bus(tmp_path))
    settings, markets = settings_of(scenario), markets_of(scenario)
    found, _ = on_paper(tmp_path, bus, markets, Defaults(), **settings)
    assert bus.n_lost == 1
    assert differences(found, replay(markets, Defaults(), **settings)) == []


def test_an_account_refuses_bars_other_than_those_it_has_traded_on(tmp_path):
    scenario, other = drawn("trends", 5, 120), drawn("trends", 6, 120)
    given_settings, policy = settings_of(scenario), Defaults()
    on_paper(tmp_path, sqlite_bus(tmp_path), markets_of(scenario), policy, **given_settings)
    with pytest.raises(LedgerError, match=r"are other bars: give|there is none at that time"):
        on_paper(tmp_path, sqlite_bus(tmp_path), markets_of(other), policy, **given_settings)


def test_an_account_refuses_other_terms_and_names_the_key(tmp_path):
    scenario = drawn("trends", 5, 60)
    given_settings, markets = settings_of(scenario), markets_of(scenario)
    bus, policy = sqlite_bus(tmp_path), Defaults()
    on_paper(tmp_path, bus, markets, policy, terms={"costs.spread_atr": "0.1"}, **given_settings)
    found = r"costs.spread_atr: .* holds a paper account with 0.1, now it would be 0.2"
    changed = {"costs.spread_atr": "0.2"}
    with pytest.raises(LedgerError, match=found):
        on_paper(tmp_path, bus, markets, policy, terms=changed, **given_settings)


def test_a_file_that_is_no_account_is_one_line(tmp_path):
    (tmp_path / "paper.db").write_bytes(b"not a database, whatever its name says" * 50)
    with pytest.raises(LedgerError, match=r"paper.db: holds no paper account .*output_dir"):
        on_paper(tmp_path, sqlite_bus(tmp_path), [], Defaults())
