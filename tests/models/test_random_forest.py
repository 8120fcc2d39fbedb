"""Our arrays against scikit-learn's own forest."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from market.samples import Samples
from models.base import Model
from models.monitor import TrainingMonitor
from models.random_forest import RandomForest
from tests.models.planted import balancing, make_model, signal

FitKept = Callable[..., tuple[Model, Any]]


@pytest.fixture
def fit_and_keep(monkeypatch: pytest.MonkeyPatch) -> FitKept:
    """Return a function that gives our model and the scikit-learn forest behind it."""

    def fit(rows: Samples, augment: Any = None, **changes: Any) -> tuple[Model, Any]:
        kept = []
        keep = RandomForest._keep

        def spy(self: RandomForest, forest: Any) -> None:
            kept.append(forest)
            keep(self, forest)

        monkeypatch.setattr(RandomForest, "_keep", spy)
        model, rng = make_model("random_forest", **changes), np.random.default_rng(0)
        model.fit(rows, None, rng=rng, monitor=TrainingMonitor(), augment=augment)
        monkeypatch.undo()
        return model, kept[0]

    return fit


def uncorrected(model: Model, x_NF: Any) -> Any:
    p_N = model.predict_proba(x_NF)[:, 1]
    return 1 / (1 + np.exp(model.log_odds_shift - np.log(p_N / (1 - p_N))))


def test_the_walk_over_arrays_answers_as_scikit_learn_does(fit_and_keep: FitKept) -> None:
    rows, later = signal(300, seed=1), signal(500, seed=2)
    weight_N = np.random.default_rng(3).uniform(0.1, 1.0, 300)
    rows = Samples(rows.x_NF, rows.y_N, weight_N, rows.t0_N, rows.t1_N, rows.names_F)
    model, forest = fit_and_keep(rows, n_estimators=40)
    # Rows on the thresholds themselves, where <= and < and the float width matter.
    on_the_edge_NF = later.x_NF.copy()
    for tree in forest.estimators_:
        feature = tree.tree_.feature[0]
        on_the_edge_NF[:, feature] = np.resize(tree.tree_.threshold[0], 500)
    for x_NF in (later.x_NF, rows.x_NF, on_the_edge_NF):
        theirs_N = np.clip(forest.predict_proba(x_NF)[:, 1], 1e-6, 1 - 1e-6)
        assert np.abs(uncorrected(model, x_NF) - theirs_N).max() < 1e-12
    shares = model.importance()
    assert shares is not None
    assert list(shares.values()) == pytest.approx(forest.feature_importances_.tolist())


@pytest.mark.parametrize("weight", [0.05, 1.0, 7.0])
@pytest.mark.parametrize("class_weight", ["balanced", None])
def test_each_tree_draws_its_share_of_rows_however_small_the_weights(
    fit_and_keep: FitKept, weight: float, class_weight: str | None
) -> None:
    rows = signal(300, seed=1, weight_N=np.full(300, weight))
    _, forest = fit_and_keep(rows, n_estimators=20, class_weight=class_weight)
    drawn_T = [tree.tree_.weighted_n_node_samples[0] for tree in forest.estimators_]
    assert np.abs(np.array(drawn_T) - 0.7 * 300).max() <= 1


LEAST_ROWS = [(0.0, 10), (0.025, 10), (0.05, 15), (0.0501, 16), (0.15, 45)]


@pytest.mark.parametrize(("share", "least"), LEAST_ROWS)
def test_no_leaf_has_fewer_rows_than_its_share_nor_than_the_least_number(
    fit_and_keep: FitKept, share: float, least: int
) -> None:
    changes = {"n_estimators": 20, "min_samples_leaf": 10, "min_leaf_share": share}
    _, forest = fit_and_keep(signal(300, seed=1), **changes)
    trees = [tree.tree_ for tree in forest.estimators_]
    smallest = min(tree.n_node_samples[tree.children_left < 0].min() for tree in trees)
    assert smallest >= least
    assert forest.min_samples_leaf == least
    assert all(tree.node_count > 1 for tree in trees)


def test_the_share_of_a_leaf_is_of_all_rows_that_are_fitted_on(fit_and_keep: FitKept) -> None:
    rows = signal(300, seed=1)
    rare = rows.take(np.flatnonzero((rows.y_N == 1) | (np.arange(300) % 3 == 0)))
    _, forest = fit_and_keep(rare, augment=balancing, n_estimators=20, min_leaf_share=0.1)
    assert forest.min_samples_leaf == math.ceil(0.1 * 2 * int(rare.y_N.sum()))


def test_augmentation_is_drawn_from_as_well(fit_and_keep: FitKept) -> None:
    rows = signal(300, seed=1, weight_N=np.full(300, 0.05))
    rare = rows.take(np.flatnonzero((rows.y_N == 1) | (np.arange(300) % 3 == 0)))
    _, forest = fit_and_keep(rare, augment=balancing, n_estimators=20)
    n_augmented = 2 * int(rare.y_N.sum())
    drawn_T = [tree.tree_.weighted_n_node_samples[0] for tree in forest.estimators_]
    assert np.abs(np.array(drawn_T) - 0.7 * n_augmented).max() <= 1


def test_a_row_of_more_weight_is_drawn_more_often(fit_and_keep: FitKept) -> None:
    rows = signal(200, seed=1)
    winners = rows.y_N == 1
    weight_N = np.where(winners, 0.9, 0.1)
    heavy = Samples(rows.x_NF, rows.y_N, weight_N, rows.t0_N, rows.t1_N, rows.names_F)
    _, forest = fit_and_keep(heavy, class_weight=None)
    share = np.mean([tree.tree_.value[0, 0, 1] for tree in forest.estimators_])
    assert share == pytest.approx(np.average(winners, weights=weight_N), abs=0.03)
