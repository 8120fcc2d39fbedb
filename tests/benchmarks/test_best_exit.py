import numpy as np
import pytest

from benchmarks.best_exit import BARRIER, barrier_exit, costs_atr, gift, limit_exit, markets, worth
from benchmarks.best_exit_bound import upper_bounds
from market.best_exit import best_exit
from market.best_exit_rule import Size, Way

SMALL = Size(
    n_bars=16_000,
    symbols=("EURUSD", "GBPJPY"),
    n_iterations=3,
    pull_Z=(-1.5, -0.5, 0.0, 0.5, 1.5),
    room_Y=(0.0, 0.3, 1.0, 3.0, 9.0),
)


@pytest.fixture(scope="module")
def found():
    return markets(0.3, 9_000, 1)


def test_holding_to_the_barriers_ends_as_the_labels_do(found):
    one = found[0]
    path, side_N = one.path, one.side_N.astype(np.int8)
    labels = BARRIER.label(one.simulation.bars, path.atr_T, one.bar_N, side_N)
    reached_N = ~labels.timed_out_N
    _, _, bars_N, stopped_N = barrier_exit(one)
    np.testing.assert_array_equal(stopped_N[reached_N], labels.label_N[reached_N] == 0)
    assert not stopped_N[~reached_N].any()
    np.testing.assert_array_equal(bars_N[~reached_N], BARRIER.max_bars)


def test_a_limit_nearer_to_nought_leaves_earlier(found):
    held = [worth(limit_exit(limit, 1.8), found).bars for limit in (0.0, 0.4, 0.8)]
    assert held == sorted(held)
    assert held[0] < held[-1]


def test_no_exit_beats_the_bound_and_the_bound_is_near_the_best(found):
    best = best_exit(Way(), 0.3, stops_atr=(1.8,), size=SMALL)
    rng = np.random.default_rng(0)
    bounds, gains, signs = [], [], []
    for one in found[:4]:
        bar_N, side_N = one.bar_N[:120], one.side_N[:120]
        bound_N = upper_bounds(best, one.simulation, one.path, bar_N, side_N, n_pairs=20, rng=rng)
        bounds.append(bound_N)
        gains.append(best.trades(one.path, bar_N, side_N, 0.0).expected_r_N * 1.8)
        signs.append(limit_exit(0.0, 1.8)(one)[1][:120] + costs_atr())
    bound, gain, sign = (np.concatenate(each).mean() for each in (bounds, gains, signs))
    assert sign < bound + 0.05
    assert gain - 0.05 < bound < gain + 0.15


def test_without_an_edge_a_stop_fills_better_by_what_theory_says_of_twelve_steps():
    measured, theory = gift(markets(0.0, 16_000, 1), 1.5)
    assert measured == pytest.approx(theory, abs=0.04)
