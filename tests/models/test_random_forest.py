"""Our forest against scikit-learn's own, and what its trees are grown on."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from market.samples import Samples
from models.base import Model, ModelError
from models.monitor import TrainingMonitor
from models.random_forest import RandomForest
from tests.models.forests import Forest, leaves
from tests.models.planted import balancing, make_model, signal


def weighted(rows: Samples, weight_N: Any) -> Samples:
    return Samples(rows.x_NF, rows.y_N, weight_N, rows.t0_N, rows.t1_N, rows.names_F)


def scikit_learn(rows: Samples, **changes: Any) -> Any:
    """Return scikit-learn's forest with our hyperparameters, from the seed that `Forest` draws."""
    from sklearn.ensemble import RandomForestClassifier

    own = make_model("random_forest", **changes).hyperparameters
    theirs = {key: own[key] for key in own if key != "min_leaf_share"}
    theirs["min_samples_leaf"] = max(
        own["min_samples_leaf"], math.ceil(own["min_leaf_share"] * len(rows))
    )
    seed = int(np.random.default_rng(0).integers(2**31))
    forest = RandomForestClassifier(**theirs, random_state=seed, oob_score=True)
    weight_N = rows.weight_N / rows.weight_N.mean()
    return forest.fit(rows.x_NF, rows.y_N, sample_weight=weight_N)


def grown(rows: Samples) -> Model:
    model = make_model("random_forest")
    model.fit(rows, None, rng=np.random.default_rng(0), monitor=TrainingMonitor())
    return model


def uncorrected(model: Model, x_NF: Any) -> Any:
    p_N = model.predict_proba(x_NF)[:, 1]
    return 1 / (1 + np.exp(model.log_odds_shift - np.log(p_N / (1 - p_N))))


@pytest.mark.parametrize("n_rows", [25, 300])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_weight": None},
        {"min_leaf_share": 0.1},
        {"max_features": 0.6},
        {"max_features": "log2"},
        {"max_features": 1.0, "max_samples": 0.4},
        {"max_depth": 2},
        {"max_depth": 60, "min_samples_leaf": 1, "min_samples_split": 2, "max_samples": 1.0},
    ],
    ids=str,
)
def test_it_is_scikit_learns_forest_node_by_node(changes: dict[str, Any], n_rows: int) -> None:
    weight_N = np.random.default_rng(3).uniform(0.1, 1.0, n_rows)
    rows = weighted(signal(n_rows, seed=1), weight_N)
    ours, theirs = Forest(rows, **changes), scikit_learn(rows, **changes)
    for tree, one in zip(ours.trees, theirs.estimators_, strict=True):
        assert tree.left_K.tolist() == one.tree_.children_left.tolist()
        assert tree.right_K.tolist() == one.tree_.children_right.tolist()
        assert tree.feature_K.tolist() == one.tree_.feature.tolist()
        assert tree.threshold_K.tolist() == one.tree_.threshold.tolist()
        assert tree.p_K.tolist() == one.tree_.value[:, 0, 1].tolist()
    shares = ours.model.importance()
    assert shares is not None
    assert list(shares.values()) == pytest.approx(theirs.feature_importances_.tolist(), abs=1e-12)


@pytest.mark.parametrize("changes", [{}, {"max_features": 0.6, "max_samples": 0.4}], ids=str)
def test_its_accuracies_are_those_of_scikit_learns_forest(changes: dict[str, Any]) -> None:
    rows = signal(300, seed=1)
    ours, theirs = Forest(rows, **changes), scikit_learn(rows, **changes)
    assert ours.report.curves["train_accuracy"] == [theirs.score(rows.x_NF, rows.y_N)]
    assert ours.report.curves["oob_accuracy"] == [theirs.oob_score_]


@pytest.mark.parametrize("n_rows", [1, 39, 40, 500])
def test_the_walk_over_arrays_answers_as_scikit_learn_does(n_rows: int) -> None:
    rows, later = signal(300, seed=1), signal(500, seed=2)
    model, forest = Forest(rows).model, scikit_learn(rows)
    # Rows on the thresholds themselves, where <= and < and the float width matter.
    on_the_edge_NF = later.x_NF.copy()
    for tree in forest.estimators_:
        feature = tree.tree_.feature[0]
        on_the_edge_NF[:, feature] = np.resize(tree.tree_.threshold[0], 500)
    for x_NF in (later.x_NF[:n_rows], on_the_edge_NF[:n_rows]):
        theirs_N = np.clip(forest.predict_proba(x_NF)[:, 1], 1e-6, 1 - 1e-6)
        assert np.abs(uncorrected(model, x_NF) - theirs_N).max() < 1e-12


@pytest.mark.parametrize("n_rows", [5, 100])
def test_a_row_is_answered_alike_alone_and_among_others(n_rows: int) -> None:
    model, later = Forest(signal(300, seed=1)).model, signal(100, seed=2)
    together_N = model.raw_log_odds(later.x_NF[:n_rows])
    alone_N = [float(model.raw_log_odds(later.x_NF[n : n + 1])[0]) for n in range(n_rows)]
    assert together_N.tolist() == alone_N


@pytest.mark.parametrize("weight", [0.05, 1.0, 7.0])
@pytest.mark.parametrize("class_weight", ["balanced", None])
def test_each_tree_draws_its_share_of_rows_however_small_the_weights(
    weight: float, class_weight: str | None
) -> None:
    rows = signal(300, seed=1, weight_N=np.full(300, weight))
    forest = Forest(rows, n_estimators=20, class_weight=class_weight)
    drawn_T = [int(count_M.sum()) for count_M in forest.counts_TM]
    assert np.abs(np.array(drawn_T) - 0.7 * 300).max() <= 1


LEAST_ROWS = [(0.0, 10), (0.025, 10), (0.05, 15), (0.0501, 16), (0.15, 45)]


@pytest.mark.parametrize(("share", "least"), LEAST_ROWS)
def test_no_leaf_has_fewer_rows_than_its_share_nor_than_the_least_number(
    share: float, least: int
) -> None:
    rows = signal(300, seed=1)
    changes = {"n_estimators": 20, "min_samples_leaf": 10, "min_leaf_share": share}
    forest = Forest(rows, **changes)
    for tree, count_M in zip(forest.trees, forest.counts_TM, strict=True):
        _, rows_of_leaf = np.unique(leaves(tree, rows.x_NF)[count_M > 0], return_counts=True)
        assert least <= rows_of_leaf.min() < 2 * least
        assert len(rows_of_leaf) > 1


def test_the_share_of_a_leaf_is_of_all_rows_that_are_fitted_on() -> None:
    rows = signal(300, seed=1)
    rare = rows.take(np.flatnonzero((rows.y_N == 1) | (np.arange(300) % 3 == 0)))
    changes = {"n_estimators": 20, "min_leaf_share": 0.1}
    forest = Forest(rare, balancing, **changes)
    least = math.ceil(0.1 * 2 * int(rare.y_N.sum()))
    assert math.ceil(0.1 * len(rare)) < least
    x_MF, _ = balancing(rare.x_NF, rare.y_N)
    for tree, count_M in zip(forest.trees, forest.counts_TM, strict=True):
        _, rows_of_leaf = np.unique(leaves(tree, x_MF)[count_M > 0], return_counts=True)
        assert rows_of_leaf.min() >= least


def test_augmentation_is_drawn_from_as_well() -> None:
    rows = signal(300, seed=1, weight_N=np.full(300, 0.05))
    rare = rows.take(np.flatnonzero((rows.y_N == 1) | (np.arange(300) % 3 == 0)))
    forest = Forest(rare, balancing, n_estimators=20)
    n_augmented = 2 * int(rare.y_N.sum())
    drawn_T = [int(count_M.sum()) for count_M in forest.counts_TM]
    assert np.abs(np.array(drawn_T) - 0.7 * n_augmented).max() <= 1
    assert all(count_M[len(rare) :].any() for count_M in forest.counts_TM)


def test_a_row_of_more_weight_is_drawn_more_often() -> None:
    rows = signal(200, seed=1)
    winners = rows.y_N == 1
    weight_N = np.where(winners, 0.9, 0.1)
    forest = Forest(weighted(rows, weight_N), class_weight=None)
    share = np.mean([tree.p_K[0] for tree in forest.trees])
    assert share == pytest.approx(np.average(winners, weights=weight_N), abs=0.03)


def test_a_row_is_judged_out_of_bag_by_the_trees_that_did_not_see_it() -> None:
    rows = signal(120, seed=1)
    forest = Forest(rows, n_estimators=2)
    unseen_TM = np.array(forest.counts_TM) == 0
    p_TM = np.array([tree.p_K[leaves(tree, rows.x_NF)] for tree in forest.trees])
    judged_M = unseen_TM.any(axis=0)
    p_M = (p_TM * unseen_TM).sum(axis=0)[judged_M] / unseen_TM.sum(axis=0)[judged_M]
    right_M = (p_M > 0.5) == (rows.y_N[judged_M] == 1)
    assert 0 < judged_M.sum() < 120
    assert forest.report.curves["oob_accuracy"] == [pytest.approx(right_M.mean())]


def test_a_feature_beyond_float32_is_refused() -> None:
    rows = signal(200, seed=1)
    x_NF = rows.x_NF.copy()
    x_NF[5, 0] = 1e39
    with pytest.raises(ModelError, match=r"beyond 3\.4e\+38, which float32 cannot hold"):
        grown(replace(rows, x_NF=x_NF))


@pytest.mark.parametrize(
    ("name", "value"), [("left", 10**6), ("right", 0), ("feature", -5), ("root", -1)]
)
def test_a_saved_forest_that_leads_astray_is_refused(tmp_path: Path, name: str, value: int) -> None:
    grown(signal(200, seed=1)).save(tmp_path)
    nodes = load_file(tmp_path / "forest.safetensors")
    nodes[name][0] = value
    save_file(nodes, tmp_path / "forest.safetensors")
    with pytest.raises(ModelError, match="its nodes are no forest"):
        RandomForest.load(tmp_path)
