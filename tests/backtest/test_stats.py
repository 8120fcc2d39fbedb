"""A replay in numbers, checked by hand."""

import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from backtest.headline import headline, reading
from backtest.replayed import DECISIONS, Replayed
from backtest.stats import GROUPINGS, statistics
from tests.backtest.made_replays import (
    MONDAY,
    drawn_r,
    made_replay,
    made_trades,
    spread_entries,
)


def test_four_trades_come_to_what_arithmetic_says() -> None:
    trades = made_trades([2.0, -1.0, 0.5, -0.5], mae_r=[-0.1, -1.0, -0.3, -0.6])
    found = statistics(made_replay(trades)).trades
    assert (found.n_trades, found.n_wins) == (4, 2)
    assert found.win_share.value == 2 / 4
    assert found.expectancy_r.value == pytest.approx((2.0 - 1.0 + 0.5 - 0.5) / 4)
    assert found.profit_factor.value == pytest.approx((200 + 50) / (100 + 50))
    assert found.total_r == pytest.approx(1.0)
    assert found.pnl == pytest.approx(100.0)
    assert found.mean_mae_r == pytest.approx(-2.0 / 4)
    assert found.mean_hours_held == 1.0


def test_a_trade_that_ends_at_nothing_is_no_win() -> None:
    found = statistics(made_replay(made_trades([0.0, 1.0]))).trades
    assert found.n_wins == 1
    assert (found.profit_factor.value, found.profit_factor.why) == (None, "no losing trade")


def test_groups_are_judged_as_if_their_trades_were_all() -> None:
    rng = np.random.default_rng(0)
    symbols = ["EURUSD", "USDJPY"] * 60
    entries = spread_entries(rng, 120, 300)
    trades = made_trades(drawn_r(rng, 120), entry_time=entries, symbol=symbols)
    groups = statistics(made_replay(trades)).groups
    assert tuple(groups) == GROUPINGS
    alone = statistics(made_replay(trades.filter(symbol="USDJPY"))).trades
    together = groups["symbol"]["USDJPY"]
    assert together.n_trades == 60
    assert together.total_r == pytest.approx(alone.total_r)
    assert together.expectancy_r.value == pytest.approx(alone.expectancy_r.value)
    assert groups["side"]["LONG"] == statistics(made_replay(trades)).trades


def test_every_trade_is_in_one_group_of_each_kind() -> None:
    rng = np.random.default_rng(1)
    reasons = rng.choice(["take_profit", "stop_loss", "time_limit"], 200).tolist()
    entries = spread_entries(rng, 200, 400)
    trades = made_trades(drawn_r(rng, 200), entry_time=entries, exit_reason=reasons)
    found = statistics(made_replay(trades))
    for groups in found.groups.values():
        assert sum(one.n_trades for one in groups.values()) == 200
        assert sum(one.pnl for one in groups.values()) == pytest.approx(found.trades.pnl)


def test_hours_are_those_of_the_entry_in_utc() -> None:
    entries = [MONDAY + timedelta(hours=hour) for hour in (9, 9, 23)]
    found = statistics(made_replay(made_trades([1.0, -1.0, 1.0], entry_time=entries)))
    assert {hour: one.n_trades for hour, one in found.groups["hour"].items()} == {"09": 2, "23": 1}


def test_no_trade_at_all_is_none_throughout() -> None:
    found = statistics(Replayed.empty())
    assert found.trades.n_trades == 0
    assert (found.trades.expectancy_r.value, found.trades.expectancy_r.why) == (None, "no trade")
    assert found.trades.mean_cost_r is None
    assert not any(found.groups.values())
    assert reading(found) == "There is no trade."
    assert all(row.value for row in headline(found))


def test_the_json_form_holds_every_number_and_no_nan() -> None:
    rng = np.random.default_rng(2)
    trades = made_trades(drawn_r(rng, 80), entry_time=spread_entries(rng, 80, 200))
    for replayed in (made_replay(trades), made_replay(trades.head(1)), Replayed.empty()):
        found = statistics(replayed)
        read = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert read["trades"]["n_trades"] == found.trades.n_trades
        assert read["method"]["block"] == "week"
        assert all(np.isfinite(value) for value in found.metrics().values())


def test_metrics_hold_the_interval_and_leave_out_what_is_missing() -> None:
    rng = np.random.default_rng(3)
    trades = made_trades(drawn_r(rng, 80), entry_time=spread_entries(rng, 80, 200))
    metrics = statistics(made_replay(trades)).metrics()
    assert metrics["expectancy_r_low"] < metrics["expectancy_r"] < metrics["expectancy_r_high"]
    few = statistics(made_replay(trades.head(3))).metrics()
    assert "expectancy_r" in few
    assert "expectancy_r_low" not in few
    assert "sharpe" not in few


def test_decisions_are_counted_by_source() -> None:
    sources = pl.Series(["exploring", "defaults", "defaults", "defaults", "exploring"])
    decisions = DECISIONS.to_frame().clear(5).with_columns(source=sources)
    replayed = replace(Replayed.empty(), decisions=decisions, skipped={"sideways": 3})
    found = statistics(replayed)
    assert list(found.decisions.items()) == [("defaults", 3), ("exploring", 2)]
    assert found.metrics()["n_skipped"] == 3


@pytest.mark.parametrize(
    ("mean", "expected"), [(2.0, "made money"), (-2.0, "lost money"), (0.0, "with zero in it")]
)
def test_the_sentence_says_what_the_interval_says(mean: float, expected: str) -> None:
    rng = np.random.default_rng(4)
    r_N = drawn_r(rng, 100)
    trades = made_trades(r_N - r_N.mean() + mean, entry_time=spread_entries(rng, 100, 300))
    assert expected in reading(statistics(made_replay(trades)))


def test_the_same_replay_gives_the_same_numbers() -> None:
    rng = np.random.default_rng(5)
    replayed = made_replay(made_trades(drawn_r(rng, 100), entry_time=spread_entries(rng, 100, 300)))
    assert statistics(replayed) == statistics(replayed)
    other = statistics(replayed, seed=8).trades
    assert statistics(replayed).trades.expectancy_r != other.expectancy_r


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_trials": 0}, "n_trials must be at least 1, was 0"),
        ({"n_resamples": 10}, "n_resamples must be at least 100, was 10"),
        ({"confidence": 1.0}, r"confidence must be in \[0.5, 1\), was 1.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        statistics(Replayed.empty(), **settings)  # type: ignore[arg-type]
