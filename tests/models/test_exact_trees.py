"""Our trees against scikit-learn's, on rows where a rank or a rounding could make a difference."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import ModelError
from models.exact_trees import ExactTrees
from models.forest_nodes import Float32Array, Tree
from models.tree_growth import Growth, _next
from tests.models.forests import Counts

DEEP = Growth(max_depth=30, min_samples_split=2, min_samples_leaf=1, n_tried=1)
KINDS = ("many values", "few values", "constants", "steps too small", "about one", "all sizes")


def features(kind: str, n_features: int, n_rows: int, rng: np.random.Generator) -> Float32Array:
    x_FM = rng.normal(size=(n_features, n_rows))
    if kind == "few values":
        x_FM = x_FM.round(1)
    elif kind == "constants":
        x_FM *= rng.random((n_features, 1)) < 0.4
        x_FM[:, n_rows // 3 :] = x_FM[:, n_rows // 3 :].round()
    elif kind == "steps too small":
        x_FM = 6e-8 * rng.integers(0, 2 * n_rows, x_FM.shape)
    elif kind == "about one":
        x_FM = 1 + x_FM * 10.0 ** -rng.integers(4, 8, (n_features, 1))
    elif kind == "all sizes":
        x_FM *= 10.0 ** rng.integers(-30, 30, x_FM.shape)
    return x_FM.astype(np.float32)


def scikit_learns(x_FM: Any, y_M: Counts, growth: Growth, count_M: Counts, seed: int) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    limits = growth._asdict()
    n_tried = limits.pop("n_tried")
    tree = DecisionTreeClassifier(**limits, max_features=n_tried, random_state=seed)
    return tree.fit(x_FM.T, y_M, sample_weight=count_M).tree_


def assert_same(ours: Tree, theirs: Any) -> None:
    assert ours.left_K.tolist() == theirs.children_left.tolist()
    assert ours.right_K.tolist() == theirs.children_right.tolist()
    assert ours.feature_K.tolist() == theirs.feature.tolist()
    assert ours.threshold_K.tolist() == theirs.threshold.tolist()
    assert ours.p_K.tolist() == theirs.value[:, 0, 1].tolist()
    assert ours.importance_F.tolist() == theirs.compute_feature_importances().tolist()


@pytest.mark.parametrize("kind", KINDS)
@given(
    seed=st.integers(0, 100_000),
    n_rows=st.integers(2, 300),
    n_features=st.integers(1, 12),
    most_draws=st.sampled_from([1, 3, 1_000]),
    limits=st.tuples(st.integers(1, 15), st.integers(2, 30), st.integers(1, 12)),
)
def test_a_tree_is_scikit_learns_node_for_node(
    kind: str, seed: int, n_rows: int, n_features: int, most_draws: int, limits: Any
) -> None:
    rng = np.random.default_rng(seed)
    x_FM = features(kind, n_features, n_rows, rng)
    place_M = x_FM[0].argsort().argsort()
    y_M = (place_M + rng.normal(size=n_rows) * n_rows / 4 > n_rows / 2).astype(np.int64)
    y_M[:2] = 0, 1
    count_M = rng.integers(0, most_draws, n_rows, endpoint=True)
    count_M[rng.integers(n_rows)] += 1
    growth = Growth(*limits, n_tried=int(rng.integers(1, n_features, endpoint=True)))
    ours = ExactTrees(x_FM, y_M, growth).grow(count_M, seed)
    assert_same(ours, scikit_learns(x_FM, y_M, growth, count_M, seed))


@pytest.mark.parametrize("seed", range(3))
def test_a_large_tree_on_few_values_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x_FM = rng.integers(0, 6, (9, 3000)).astype(np.float32)
    y_M, count_M = rng.integers(0, 2, 3000), rng.poisson(0.7, 3000)
    growth = DEEP._replace(n_tried=3)
    ours = ExactTrees(x_FM, y_M, growth).grow(count_M, seed)
    assert len(ours.left_K) > 1000
    assert_same(ours, scikit_learns(x_FM, y_M, growth, count_M, seed))


def test_more_values_than_two_bytes_tell_apart_have_their_ranks() -> None:
    rng = np.random.default_rng(0)
    x_FM = rng.permutation(1 << 17)[None].astype(np.float32)
    y_M = (np.abs(x_FM[0] - 100_000) < 2_000).astype(np.int64)
    count_M = np.ones_like(y_M)
    ours = ExactTrees(x_FM, y_M, DEEP).grow(count_M, 1)
    assert sorted(ours.threshold_K[ours.threshold_K > 0]) == [98_000.5, 101_999.5]
    assert_same(ours, scikit_learns(x_FM, y_M, DEEP, count_M, 1))


def test_no_cut_is_made_between_neighbours_that_are_too_close() -> None:
    x_FM = np.array([[0, 0.8e-7, 1.6e-7, 2.4e-7]], np.float32)
    y_M = np.array([0, 0, 1, 1])
    growing = ExactTrees(x_FM, y_M, DEEP)
    assert growing.grow(np.array([1, 1, 1, 1]), 0).left_K.tolist() == [-1]
    without = growing.grow(np.array([1, 0, 1, 1]), 0)
    assert without.threshold_K[0] == pytest.approx(0.8e-7)


def test_where_no_winner_is_drawn_the_root_is_a_leaf_without_importance() -> None:
    x_FM, y_M = np.arange(20, dtype=np.float32)[None], np.repeat([0, 1], 10)
    ours = ExactTrees(x_FM, y_M, DEEP).grow(1 - y_M, 0)
    assert (ours.left_K.tolist(), ours.p_K.tolist()) == ([-1], [0.0])
    assert_same(ours, scikit_learns(x_FM, y_M, DEEP, 1 - y_M, 0))


def test_trees_do_not_depend_on_those_that_were_grown_before() -> None:
    rng = np.random.default_rng(0)
    x_FM, y_M = rng.normal(size=(6, 200)).astype(np.float32), rng.integers(0, 2, 200)
    growing, count_M = ExactTrees(x_FM, y_M, DEEP), np.ones(200, np.int64)
    first, _, again = (growing.grow(count_M, seed) for seed in (1, 2, 1))
    assert first.threshold_K.tolist() == again.threshold_K.tolist()


@pytest.mark.parametrize("state", [0, 1, 12_345, 2**31 - 2])
def test_random_numbers_are_scikit_learns_from_any_state(state: int) -> None:
    from sklearn.utils._random import _our_rand_r_py

    assert int(_next(np.uint32(state))) % 2**31 == _our_rand_r_py(state)


def test_more_draws_than_can_be_counted_are_refused_in_one_line() -> None:
    growing = ExactTrees(np.ones((1, 2), np.float32), np.array([0, 1]), DEEP)
    with pytest.raises(ModelError, match=r"^2097152 draws per tree.*: lower max_samples$"):
        growing.grow(np.array([2**20, 2**20]), 0)
