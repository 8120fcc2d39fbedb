"""Looks over what an XGBoost file says before XGBoost does, which follows its indices unasked.

Axes: T trees, K nodes of one of them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from models.base import ModelError
from models.ubj_shape import read_ubj

# What XGBoost has of every node.
ARRAYS = (
    *("left_children", "right_children", "parents", "split_indices", "split_conditions"),
    *("split_type", "default_left", "base_weights", "loss_changes", "sum_hessian"),
)
CATEGORIES = ("categories", "categories_nodes", "categories_segments", "categories_sizes")
LEAF = -1


def check_booster(content: bytes, n_features: int) -> None:
    """Refuse a booster that is not made of binary trees on so many features.

    Parameters
    ----------
    content : bytes
        XGBoost's UBJSON.
    n_features : int

    Raises
    ------
    ModelError
        One line with what was found.
    """
    try:
        _check_learner(read_ubj(content)["learner"], n_features)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError("does not describe a booster as XGBoost does") from error


def _check_learner(learner: Mapping[str, Any], n_features: int) -> None:
    booster, param = learner["gradient_booster"], learner["learner_model_param"]
    _expect("kind of booster", booster["name"], "gbtree")
    _expect("objective", learner["objective"]["name"], "binary:logistic")
    _expect("number of features", int(param["num_feature"]), n_features)
    _expect("number of classes", int(param["num_class"]), 0)
    _expect("number of targets", int(param["num_target"]), 1)
    model = booster["model"]
    trees, n_trees = model["trees"], int(model["gbtree_model_param"]["num_trees"])
    _expect("number of trees", len(trees), n_trees)
    _expect("group of every tree", list(model["tree_info"]), [0] * n_trees)
    _expect("trees of every round", list(model["iteration_indptr"]), list(range(n_trees + 1)))
    if any(len(one) for one in model.get("cats", {}).values()):
        raise ModelError("it holds categories, expected numbers only")
    for number, tree in enumerate(trees):
        _check_tree(f"tree {number}", tree, n_features)


def _check_tree(name: str, tree: Mapping[str, Any], n_features: int) -> None:
    param = tree["tree_param"]
    _expect(f"{name}, size of a leaf", int(param["size_leaf_vector"]), 1)
    _expect(f"{name}, number of features", int(param["num_feature"]), n_features)
    n_nodes = int(param["num_nodes"])
    for key in ARRAYS:
        _expect(f"{name}, length of {key}", len(tree[key]), n_nodes)
    if np.any(tree["split_type"]) or any(len(tree[key]) for key in CATEGORIES):
        raise ModelError(f"{name}: it holds categories, expected numbers only")
    left_K, right_K, feature_K = (_whole(tree[key]) for key in (*ARRAYS[:2], "split_indices"))
    own_K = np.arange(n_nodes)
    leaf_K = (left_K == LEAF) & (right_K == LEAF)
    # Children come after their parent, so that no way through a tree leads back.
    ahead_K = (np.minimum(left_K, right_K) > own_K) & (np.maximum(left_K, right_K) < n_nodes)
    if n_nodes < 1 or not (leaf_K | ahead_K).all():
        raise ModelError(f"{name}: a node's children are not two of those that come after it")
    if not (leaf_K | ((feature_K >= 0) & (feature_K < n_features))).all():
        raise ModelError(f"{name}: it splits by a feature beyond the {n_features} that there are")


def _whole(values: Any) -> npt.NDArray[np.int64]:
    found = np.asarray(values)
    if found.size and found.dtype.kind not in "iu":
        raise ModelError("it holds indices that are no whole numbers")
    return found.astype(np.int64)


def _expect(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise ModelError(f"{what}: {found!s:.40}, expected {wanted!s:.40}")
