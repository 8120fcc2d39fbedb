"""Trees as an ONNX operator.

Axes: T trees, K nodes of all of them, W weights of a leaf.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from market.bars import FloatArray
from models.onnx_graph import ML, OnnxGraph

if TYPE_CHECKING:
    from onnx import NodeProto

OPERATOR = "TreeEnsembleRegressor"
Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Trees:
    """Binary trees whose nodes follow one another, tree by tree, each beginning with its root.

    Attributes
    ----------
    root_T : int array
        Index of each tree's root.
    left_K, right_K : int arrays
        Index of a node's children; negative where it is a leaf.
    feature_K : int array
    threshold_K : float32 array
        A row goes left where its feature, as float32, is at most this.
    strict : bool
        Goes left only where it is below.
    weight_KW : float32 array
        What a leaf adds to each sum.
    """

    root_T: npt.NDArray[np.integer]
    left_K: npt.NDArray[np.integer]
    right_K: npt.NDArray[np.integer]
    feature_K: npt.NDArray[np.integer]
    threshold_K: Float32Array
    strict: bool
    weight_KW: Float32Array


def rounded_down(threshold_K: FloatArray) -> Float32Array:
    """Return the largest float32 not above each threshold: no float32 tells the two apart."""
    rounded_K = threshold_K.astype(np.float32)
    below_K = np.nextafter(rounded_K, np.float32(-np.inf))
    return np.where(rounded_K > threshold_K, below_K, rounded_K)


def add_trees(graph: OnnxGraph, features: str, trees: Trees) -> str:
    """Add trees to a graph; return the name of their sums, float32 (N, W), added tree by tree."""
    return graph.node(OPERATOR, graph.float32(features), attributes=_attributes(trees), domain=ML)


def read_trees(node: "NodeProto") -> Trees | None:
    """Return the trees of an operator as `add_trees` writes it, None where it is another's."""
    from onnx.helper import get_attribute_value, make_node

    held = {one.name: get_attribute_value(one) for one in node.attribute}
    try:
        tree_K = np.array(held["nodes_treeids"])
        root_T = np.flatnonzero(np.diff(tree_K, prepend=-1))
        first_K = root_T[tree_K]
        leaf_K = np.array(held["nodes_modes"]) == b"LEAF"
        weight_KW = np.zeros((len(tree_K), held["n_targets"]), dtype=np.float32)
        weight_KW[leaf_K] = np.reshape(held["target_weights"], (-1, held["n_targets"]))
        trees = Trees(
            root_T=root_T,
            left_K=np.where(leaf_K, -1, first_K + held["nodes_truenodeids"]),
            right_K=np.where(leaf_K, -1, first_K + held["nodes_falsenodeids"]),
            feature_K=np.array(held["nodes_featureids"]),
            threshold_K=np.array(held["nodes_values"], dtype=np.float32),
            strict=b"BRANCH_LT" in held["nodes_modes"],
            weight_KW=weight_KW,
        )
        again = make_node(OPERATOR, node.input, node.output, domain=ML, **_attributes(trees))
    except (KeyError, IndexError, ValueError):
        return None
    as_written = {one.name: get_attribute_value(one) for one in again.attribute}
    return trees if held == as_written else None


def _attributes(trees: Trees) -> dict[str, Any]:
    n_nodes, n_weights = trees.weight_KW.shape
    node_K = np.arange(n_nodes)
    tree_K = np.searchsorted(trees.root_T, node_K, side="right") - 1
    first_K = trees.root_T[tree_K]
    leaf_K = trees.left_K < 0
    at_leaf = np.repeat(np.flatnonzero(leaf_K), n_weights)
    branch = "BRANCH_LT" if trees.strict else "BRANCH_LEQ"
    lists = {
        "nodes_treeids": tree_K,
        "nodes_nodeids": node_K - first_K,
        "nodes_featureids": np.where(leaf_K, 0, trees.feature_K),
        "nodes_values": np.where(leaf_K, np.float32(0), trees.threshold_K),
        "nodes_truenodeids": np.where(leaf_K, 0, trees.left_K - first_K),
        "nodes_falsenodeids": np.where(leaf_K, 0, trees.right_K - first_K),
        "nodes_missing_value_tracks_true": np.zeros(n_nodes, dtype=np.int64),
        "target_treeids": tree_K[at_leaf],
        "target_nodeids": (node_K - first_K)[at_leaf],
        "target_ids": np.tile(np.arange(n_weights), int(leaf_K.sum())),
        "target_weights": trees.weight_KW[leaf_K].ravel(),
    }
    return {
        **{name: values.tolist() for name, values in lists.items()},
        "nodes_modes": ["LEAF" if leaf else branch for leaf in leaf_K],
        "n_targets": n_weights,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
    }
