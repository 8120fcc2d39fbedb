"""Features that move, and features that only persist."""

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import ks_2samp

from live.feature_drift import Training, _edges, _Order, _psi, feature_drift

WINDOW = 100
NAMES = ("persistent", "plain", "flag", "constant")


def rows(n, seed, *, moved=0.0):
    """Return a persistent feature, a plain one, a flag that is mostly set, and a constant."""
    rng = np.random.default_rng(seed)
    persistent_N = lfilter([1.0], [1.0, -0.95], rng.normal(size=n + 200))[200:]
    return np.column_stack(
        [persistent_N, rng.normal(moved, 1.0, n), rng.random(n) < 0.95, np.ones(n)]
    )


def looked(later_NF, *, every=2_000.0, seed=0):
    training = Training(rows(1_500, seed), NAMES, window=WINDOW)
    return feature_drift(training, later_NF, false_alarm_every=every, least_psi=0.2)


def test_a_feature_that_moves_is_named_with_how_far_and_from_where_to_where():
    found = looked(np.concatenate([rows(300, 1), rows(300, 2, moved=1.5)]))
    assert [one.name for one in found.moved] == ["plain"]
    assert (found.windows, found.first, found.last) == (4, 300, 399)
    moved = found.moved[0]
    assert moved.psi > 0.2
    assert moved.median_before == pytest.approx(0.0, abs=0.2)
    assert moved.median_now == pytest.approx(1.5, abs=0.4)


def test_a_feature_that_only_persists_is_left_alone_where_a_plain_test_would_cry():
    later = [rows(1_000, seed) for seed in range(10, 22)]
    before_N = rows(1_500, 0)[:, 0]
    cries = [ks_2samp(one[:WINDOW, 0], before_N).pvalue < 0.001 for one in later]
    assert sum(cries) >= 4
    assert sum(bool(looked(one).moved) for one in later) <= 2


def test_a_window_counts_as_fewer_rows_the_longer_a_feature_persists():
    found = {one.name: one.effective for one in looked(rows(WINDOW, 3)).shifts}
    assert found["persistent"] < 25 < 50 < found["plain"] <= WINDOW


def test_a_constant_that_takes_another_value_has_moved_and_one_that_stays_has_not():
    later_NF = rows(WINDOW, 4)
    later_NF[:, 3] = 0.5
    assert [one.name for one in looked(later_NF).moved] == ["constant"]
    stays = next(one for one in looked(rows(WINDOW, 4)).shifts if one.name == "constant")
    assert (stays.p_value, stays.psi) == (1.0, pytest.approx(0.0, abs=0.01))


def test_a_flag_that_was_mostly_set_and_now_is_not_has_moved():
    later_NF = rows(WINDOW, 5)
    later_NF[:, 2] = np.arange(WINDOW) % 2
    assert [one.name for one in looked(later_NF).moved] == ["flag"]


def test_more_rows_change_nothing_of_a_window_that_tripped_and_a_part_of_one_is_not_looked_at():
    later_NF = np.concatenate([rows(150, 6), rows(250, 7, moved=2.0)])
    whole = looked(later_NF)
    assert looked(later_NF[: whole.last + 1]) == whole
    assert not looked(later_NF[: whole.last]).moved
    assert looked(later_NF[: WINDOW - 1]) is None


def test_too_few_rows_of_training_to_say_what_is_ordinary_are_refused():
    with pytest.raises(ValueError, match="399 rows were trained on, 400 are needed"):
        Training(rows(399, 0), NAMES, window=WINDOW)


@pytest.mark.parametrize("seed", range(5))
def test_the_distance_is_that_of_kolmogorov_and_smirnov_ties_and_all(seed):
    rng = np.random.default_rng(seed)
    x_NF = np.column_stack([rng.integers(0, 4, 120).astype(float), rng.normal(size=120)])
    inside_N = rng.random(120) < 0.3
    found_F = _Order(x_NF).distances(inside_N)
    for f in range(2):
        expected = ks_2samp(x_NF[inside_N, f], x_NF[~inside_N, f]).statistic
        assert found_F[f] == pytest.approx(expected)


def test_the_stability_index_is_nothing_between_equal_samples_and_grows_with_the_move():
    x_N = np.random.default_rng(0).normal(size=5_000)
    edges = _edges(x_N)
    assert _psi(edges, x_N, x_N) == 0.0
    indexes = [_psi(edges, x_N, x_N + move) for move in (0.1, 0.5, 1.0)]
    assert indexes == sorted(indexes)
    # Of two normal distributions one deviation apart it is about the square of their distance.
    assert 0.7 < indexes[2] < 1.1
