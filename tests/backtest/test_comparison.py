"""Policies are compared by the same signals, pair by pair."""

import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.comparison import compare
from tests.backtest.made_replays import MONDAY, drawn_r, made_trades

N = 400
RNG = np.random.default_rng(5)
ENTRIES = [MONDAY + timedelta(days=k, hours=int(RNG.integers(24))) for k in range(N)]
R_N = drawn_r(RNG, N)


def trades(r_N=R_N, entries=ENTRIES, **columns):
    plain = {"signal_time": entries, "entry_time": entries, "risk_price": 2.0, "entry_atr": 1.0}
    return made_trades(r_N, **{**plain, **columns})


def compared(baselines=("defaults",), seed=1, **policies):
    return compare(policies, baselines, seed=seed, n_resamples=300)


def only_difference(**policies):
    (found,) = compared(**policies).differences
    return found


def test_equal_policies_differ_by_exactly_nothing():
    found = only_difference(learned=trades(), defaults=trades())
    assert (found.r.value, found.atr.value) == (0.0, 0.0)
    assert (found.n_pairs, found.n_only, found.n_only_baseline) == (N, 0, 0)


def test_a_difference_is_the_mean_over_pairs_of_the_same_signal():
    # 3, 4 and 5 in common: 1.0 - 0.5, 2.0 + 1.0, -1.0 + 0.5.
    learned = trades(np.array([9.0, 1.0, 2.0, -1.0]), ENTRIES[2:6])
    defaults = trades(np.array([0.5, -1.0, -0.5, 7.0, 7.0]), ENTRIES[3:8])
    found = only_difference(learned=learned, defaults=defaults)
    assert (found.n_pairs, found.n_only, found.n_only_baseline) == (3, 1, 2)
    assert found.r.value == pytest.approx((0.5 + 3.0 - 0.5) / 3)


def test_signals_at_one_time_are_told_apart_by_their_symbol():
    learned = trades(np.array([1.0, 2.0]), ENTRIES[:1] * 2, symbol=["A", "B"])
    defaults = trades(np.array([5.0, 1.0]), ENTRIES[:1] * 2, symbol=["B", "A"])
    found = only_difference(learned=learned, defaults=defaults)
    assert found.n_pairs == 2
    assert found.r.value == pytest.approx((0.0 - 3.0) / 2)


def test_each_unit_goes_by_the_risk_of_its_own_trade():
    learned = trades(np.full(40, 1.0), ENTRIES[:40], risk_price=3.0, entry_atr=2.0)
    defaults = trades(np.full(40, 1.0), ENTRIES[:40], risk_price=1.0, entry_atr=2.0)
    found = compared(learned=learned, defaults=defaults)
    assert [one.r.value for one in found.policies] == [1.0, 1.0]
    assert [one.atr.value for one in found.policies] == [1.5, 0.5]
    assert (found.differences[0].r.value, found.differences[0].atr.value) == (0.0, 1.0)


def test_what_both_share_does_not_widen_the_interval_of_their_difference():
    gain_N = 0.1 + RNG.normal(0.0, 0.05, N)
    found = compared(learned=trades(R_N + gain_N), defaults=trades())
    alone, difference = found.policies[0].r, found.differences[0].r
    assert difference.low < 0.1 < difference.high
    assert difference.high - difference.low < 0.2 * (alone.high - alone.low)


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_trades_and_of_policies_changes_nothing(random):
    policies = {"learned": trades(R_N[::-1].copy()), "defaults": trades()}
    expected = {one.name: one for one in compared(**policies).policies}
    rows = list(range(N))
    random.shuffle(rows)
    shuffled = {name: policies[name][rows] for name in reversed(policies)}
    found = compared(**shuffled)
    assert {one.name: one for one in found.policies} == expected
    assert found.differences == compared(**policies).differences


def test_every_other_policy_is_held_against_every_baseline():
    policies = {name: trades() for name in ("learned", "defaults", "simple", "hold")}
    found = compared(("defaults", "hold"), **policies)
    names = [(one.name, one.baseline) for one in found.differences]
    expected = [("learned", "defaults"), ("learned", "hold")]
    assert names == [*expected, ("simple", "defaults"), ("simple", "hold")]
    assert [one.name for one in found.policies] == list(policies)


def test_a_policy_is_told_by_its_trades():
    frame = trades(bars_held=np.arange(N))
    found = compared((), learned=frame).policies[0]
    assert found.n_trades == N
    assert found.r.value == pytest.approx(R_N.mean())
    assert found.r.low < found.r.value < found.r.high
    assert found.win_share == pytest.approx((R_N > 0).mean())
    assert found.mean_bars == pytest.approx((N - 1) / 2)
    assert found.r_tail == pytest.approx(np.quantile(R_N, 0.05))


def test_a_policy_without_trades_has_no_figures_and_says_so():
    found = compared(learned=trades().clear(), defaults=trades())
    empty = found.policies[0]
    assert (empty.n_trades, empty.r.value, empty.r.why) == (0, None, "no trade")
    assert (empty.win_share, empty.mean_bars, empty.r_tail) == (None, None, None)
    assert (found.differences[0].n_pairs, found.differences[0].n_only_baseline) == (0, N)


def test_a_few_pairs_are_a_number_without_an_interval():
    found = only_difference(
        learned=trades(R_N[:20] + 1.0, ENTRIES[:20]), defaults=trades(R_N[:20], ENTRIES[:20])
    )
    assert found.r.value == pytest.approx(1.0)
    assert (found.r.low, found.r.why) == (None, "too few trades for an interval: 20, needed 30")


def test_a_seed_repeats_and_another_draws_otherwise():
    policies = {"learned": trades(R_N[::-1].copy()), "defaults": trades()}
    assert compared(seed=3, **policies) == compared(seed=3, **policies)
    assert compared(seed=3, **policies).policies != compared(seed=4, **policies).policies


def test_it_is_plain_json():
    found = compared(learned=trades(), defaults=trades())
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told == found.to_json()
    assert [one["name"] for one in told["policies"]] == ["learned", "defaults"]
    assert told["differences"][0]["r"]["value"] == 0.0
    assert (told["confidence"], told["block"]) == (0.95, "week")


def test_what_cannot_be_compared_is_refused_in_a_line():
    with pytest.raises(ValueError, match="there is no policy to compare"):
        compare({}, (), seed=1)
    with pytest.raises(ValueError, match="hold: is a baseline, its trades are not given"):
        compare({"learned": trades()}, ("hold",), seed=1)
    twice = pl.concat([trades(), trades()[3:4]])
    with pytest.raises(ValueError, match="learned: EURUSD has two trades of the signal at 2024"):
        compare({"learned": twice}, (), seed=1)
