"""Simulated worlds: the truth that the bench measures against is the truth of its data."""

import numpy as np
import pytest

from benchmarks.honesty import walks
from benchmarks.honesty.columns import (
    PERSISTENT_FLAGS,
    PERSISTENT_NUMBERS,
    WHITE_COUNTS,
    WHITE_FLAGS,
    WHITE_NUMBERS,
    feature_columns,
)
from benchmarks.honesty.grids import NULLS, TWO_SIDED_NULLS
from benchmarks.honesty.worlds import MOST_BETWEEN, WORLDS, simulated
from market.table_files import TableFiles

SIGNALS = {"signal_68": 0.68, "signal_68_overlap": 0.68, "signal_60": 0.60}
BASE_RATES = dict.fromkeys(NULLS + TWO_SIDED_NULLS, 0.5) | {"base_rate_60": 0.6}


def drawn(world, n_rows, seed=0):
    return WORLDS[world](np.random.default_rng(seed), n_rows)


def correlation(a_N, b_N):
    return np.corrcoef(a_N, b_N)[0, 1]


@pytest.mark.parametrize(("world", "stated"), SIGNALS.items())
def test_who_knows_the_truth_reaches_the_stated_accuracy(world, stated):
    symbols = [drawn(world, 5000, seed) for seed in range(12)]
    attainable = [np.maximum(one.p_N, 1 - one.p_N).mean() for one in symbols]
    reached = [((one.p_N > 0.5) == (one.y_N == 1)).mean() for one in symbols]
    assert np.mean(attainable) == pytest.approx(stated, abs=0.005)
    assert np.mean(reached) == pytest.approx(stated, abs=0.012)


@pytest.mark.parametrize("world", WORLDS)
def test_labels_win_as_often_as_their_probabilities_say(world):
    symbols = [drawn(world, 5000, seed) for seed in range(12)]
    gap = np.mean([one.y_N.mean() - one.p_N.mean() for one in symbols])
    assert abs(gap) < 0.03
    if world in BASE_RATES:
        rate = np.mean([one.p_N.mean() for one in symbols])
        assert rate == pytest.approx(BASE_RATES[world], abs=0.02)


@pytest.mark.parametrize("world", NULLS + TWO_SIDED_NULLS)
def test_no_feature_of_a_null_knows_its_label(world):
    one = drawn(world, 30_000)
    # So far apart that no two labels overlap and features have forgotten.
    y_N, x_NF = one.y_N[::60], one.x_NF[::60]
    z_F = np.array([correlation(x_N, y_N) for x_N in x_NF.T]) * np.sqrt(len(y_N))
    assert np.abs(z_F).max() < 5
    assert 0.3 < (z_F**2).mean() < 2.0


@pytest.mark.parametrize(
    ("worlds", "low", "high"),
    [
        (("overlapping", "overlapping_two_sided", "signal_68_overlap"), 3, 6),
        (("every_bar", "every_bar_two_sided"), 20, 48),
        (("balanced", "base_rate_60", "drifting", "signal_68", "signal_60"), 1, 1),
    ],
)
def test_as_many_labels_are_open_at_once_as_is_said(worlds, low, high):
    for world in worlds:
        one = drawn(world, 3000)
        begun_N = np.searchsorted(one.start_bar_N, one.start_bar_N, side="right")
        over_N = np.searchsorted(np.sort(one.end_bar_N), one.start_bar_N, side="right")
        assert low <= (begun_N - over_N).mean() <= high


def test_neighbours_share_luck_where_labels_overlap_and_only_there():
    for world, shared in (("signal_68_overlap", True), ("signal_68", False)):
        one = drawn(world, 20_000)
        luck_N = one.y_N - one.p_N
        assert (correlation(luck_N[:-1], luck_N[1:]) > 0.3) == shared
        assert abs(correlation(luck_N[:-20], luck_N[20:])) < 0.05


def test_the_drifting_rate_wanders_slowly_between_its_ends():
    p_N = drawn("drifting", 5000).p_N
    assert p_N.min() >= 0.4
    assert p_N.max() <= 0.6
    assert p_N.std() > 0.04
    assert correlation(p_N[:-1], p_N[1:]) > 0.97


def test_columns_are_half_persistent_and_some_are_flags():
    x_NF = feature_columns(np.random.default_rng(1), 8000)
    memory_F = np.array([correlation(x_N[:-1], x_N[1:]) for x_N in x_NF.T])
    assert (memory_F[PERSISTENT_NUMBERS] > 0.85).all()
    assert (np.abs(memory_F[28:]) < 0.06).all()
    numbers = [*PERSISTENT_NUMBERS, *WHITE_NUMBERS]
    assert np.allclose(x_NF[:, numbers].std(axis=0), 1, atol=0.25)
    for flags in (PERSISTENT_FLAGS, WHITE_FLAGS):
        assert set(np.unique(x_NF[:, flags])) == {0.0, 1.0}
    assert (x_NF[:, WHITE_COUNTS] % 1 == 0).all()


def test_indicators_of_a_walk_do_not_change_when_it_goes_on():
    close_T = walks.random_walk(np.random.default_rng(2), 1200)
    whole = np.column_stack(walks.past_columns(close_T))
    for cut in (301, 700, 1199):
        assert np.array_equal(np.column_stack(walks.past_columns(close_T[:cut])), whole[:cut])


def test_a_label_is_the_first_barrier_reached_or_else_the_sign_of_the_move():
    still_T = np.zeros(walks.MAX_BARS + 1)
    rises_T, dips_T, drifts_T = still_T.copy(), still_T.copy(), still_T.copy()
    rises_T[5:] = 2.0
    dips_T[3], dips_T[4:] = -2.5, 9.0
    drifts_T[-1] = -0.1
    for close_T, up, end in ((rises_T, 1, 5), (dips_T, 0, 3), (drifts_T, 0, walks.MAX_BARS)):
        up_N, end_N = walks.outcomes(close_T, np.array([0]), np.array([2.0]))
        assert (up_N[0], end_N[0]) == (up, end)


@pytest.mark.parametrize("world", WORLDS)
def test_fresh_rows_begin_when_every_label_trained_on_has_ended(world):
    one = simulated(world, np.random.default_rng(3), 120, n_fresh=500)
    first = one.fresh.start
    assert one.t0_N[first] >= one.t1_N[:120].max()
    assert one.t0_N[first - 1] < one.t1_N[:120].max() or first == 120
    assert 120 <= first <= 120 + MOST_BETWEEN
    assert len(one.drawn.y_N[one.fresh]) == 500


def test_a_table_is_read_back_as_it_was_drawn(tmp_path):
    one = simulated("overlapping", np.random.default_rng(4), 150, n_fresh=10)
    one.table("S01").write_parquet(tmp_path / "S01.parquet")
    samples = TableFiles(dir=str(tmp_path)).table("S01").samples()
    assert np.array_equal(samples.x_NF, one.drawn.x_NF[:150])
    assert np.array_equal(samples.y_N, one.drawn.y_N[:150])
    assert np.array_equal(samples.t0_N, one.t0_N[:150])
    assert np.array_equal(samples.t1_N, one.t1_N[:150])
    assert 0.15 < samples.weight_N.mean() < 0.35
