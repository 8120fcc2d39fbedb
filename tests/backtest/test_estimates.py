"""Intervals of trades that share their week: how often they hold the truth."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.estimates import Draws, Estimate, blocks_of_entries
from tests.backtest.made_replays import MONDAY, drawn_r, made_trades, spread_entries


def _expectancy(trades: pl.DataFrame, *, n_resamples: int = 500, seed: int = 1) -> Estimate:
    draws = Draws.of(blocks_of_entries(trades), n_resamples=n_resamples, confidence=0.95, seed=seed)
    n = trades.height
    r_N, zeros_N = trades["r_multiple"].to_numpy(), np.zeros(n, dtype=np.int64)
    (found,) = draws.ratios(r_N, np.ones(n), zeros_N, 1)
    return found


def _trades_of_shared_weeks(rng: np.random.Generator) -> Any:
    """Draw the trades of 40 weeks, whose results hang on what the week did: their mean is 0."""
    week_W = rng.normal(0, 0.6, 40)
    n_W = rng.poisson(6, 40)
    entries = [
        MONDAY + timedelta(days=7 * week + int(rng.integers(0, 5)))
        for week, n in enumerate(n_W)
        for _ in range(n)
    ]
    r_N = np.repeat(week_W, n_W) + rng.normal(0, 1, n_W.sum())
    return made_trades(r_N, entry_time=entries)


def test_the_interval_of_the_expectancy_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    held, held_naively, n_worlds = 0, 0, 300
    for _ in range(n_worlds):
        trades = _trades_of_shared_weeks(rng)
        found = _expectancy(trades)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0 <= found.high
        r_N = trades["r_multiple"].to_numpy()
        held_naively += abs(r_N.mean()) <= 1.96 * r_N.std(ddof=1) / np.sqrt(len(r_N))
    assert 0.91 <= held / n_worlds <= 0.98
    # As if every trade stood alone: what the blocks are for.
    assert held_naively / n_worlds < 0.8


def test_the_interval_of_a_profit_factor_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    many_N = drawn_r(rng, 1_000_000)
    truth = many_N[many_N > 0].sum() / -many_N[many_N < 0].sum()
    held, n_worlds = 0, 200
    for _ in range(n_worlds):
        trades = made_trades(drawn_r(rng, 150), entry_time=spread_entries(rng, 150, 210))
        draws = Draws.of(blocks_of_entries(trades), n_resamples=300, confidence=0.95, seed=1)
        r_N, zeros_N = trades["r_multiple"].to_numpy(), np.zeros(150, dtype=np.int64)
        profits_N, losses_N = np.maximum(r_N, 0), np.maximum(-r_N, 0)
        (found,) = draws.ratios(profits_N, losses_N, zeros_N, 1, logarithm=True)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= truth <= found.high
    assert 0.9 <= held / n_worlds <= 0.99


def test_the_estimate_is_the_plain_ratio_of_each_group() -> None:
    trades = made_trades([2.0, -1.0, 0.5, -1.0])
    draws = Draws.of(blocks_of_entries(trades), n_resamples=100, confidence=0.95, seed=1)
    group_N = np.array([0, 0, 1, 1])
    first, second = draws.ratios(trades["r_multiple"].to_numpy(), np.ones(4), group_N, 2)
    assert first.value == (2.0 - 1.0) / 2
    assert second.value == (0.5 - 1.0) / 2


def test_too_few_trades_have_no_interval_but_a_reason() -> None:
    found = _expectancy(made_trades(drawn_r(np.random.default_rng(0), 29)))
    assert found.value is not None
    assert (found.low, found.high) == (None, None)
    assert found.why == "too few trades for an interval: 29, needed 30"


def test_trades_of_too_few_blocks_have_no_interval_but_a_reason() -> None:
    entries = [MONDAY + timedelta(days=i % 3) for i in range(60)]
    trades = made_trades(drawn_r(np.random.default_rng(0), 60), entry_time=entries)
    found = _expectancy(trades)
    assert (found.low, found.high) == (None, None)
    assert found.why == "too few blocks of a week for an interval: 1 with trades, needed 10"


def test_trades_that_do_not_differ_have_no_interval() -> None:
    found = _expectancy(made_trades([0.1] * 200))
    assert found.value == pytest.approx(0.1)
    assert (found.low, found.high) == (None, None)
    assert "alike" in found.why


@pytest.mark.parametrize(
    ("n_days", "held", "unit"),
    [
        (200, timedelta(hours=2), "week"),
        (400, timedelta(days=6), "2 weeks"),
        (20, timedelta(hours=2), "day"),
        # Two of ten days each tie the days together: better no interval than one of days.
        (20, timedelta(days=2), "week"),
    ],
)
def test_blocks_are_longer_than_trades(n_days: int, held: timedelta, unit: str) -> None:
    entries = [MONDAY + timedelta(days=i) for i in range(n_days)]
    trades = made_trades(
        np.ones(n_days), entry_time=entries, exit_time=[one + held for one in entries]
    )
    assert blocks_of_entries(trades).unit == unit


def test_a_week_begins_on_monday() -> None:
    entries = [MONDAY + timedelta(days=day, hours=23) for day in (*range(0, 70, 7), 4, 6)]
    blocks = blocks_of_entries(made_trades(np.ones(12), entry_time=entries))
    assert blocks.block_N.tolist() == [*range(10), 0, 0]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(30, 120), scale=st.floats(0.01, 1000))
def test_an_interval_holds_its_value_and_grows_with_the_results(
    seed: int, n: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    entries, r_N = spread_entries(rng, n, 200), drawn_r(rng, n)
    one = _expectancy(made_trades(r_N, entry_time=entries), n_resamples=200)
    other = _expectancy(made_trades(scale * r_N, entry_time=entries), n_resamples=200)
    assert one.low is not None
    assert one.high is not None
    assert one.value is not None
    assert one.low < one.value < one.high
    assert other.low == pytest.approx(scale * one.low, rel=1e-6, abs=1e-9 * scale)
    assert other.high == pytest.approx(scale * one.high, rel=1e-6, abs=1e-9 * scale)


def test_the_same_seed_draws_the_same_interval() -> None:
    rng = np.random.default_rng(5)
    trades = made_trades(drawn_r(rng, 100), entry_time=spread_entries(rng, 100, 200))
    assert _expectancy(trades, seed=2) == _expectancy(trades, seed=2)
    assert _expectancy(trades, seed=2) != _expectancy(trades, seed=3)
