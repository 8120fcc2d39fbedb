"""Trees as an operator and as a walk of many rows say the same.

Axes: N rows, F features, K nodes, W sums.
"""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx.helper import make_attribute

from market.bars import FloatArray
from models.onnx_graph import OnnxGraph
from models.onnx_trees import Trees, add_trees, read_trees, rounded_down
from models.tree_walk import TreeWalk

N_FEATURES = 3


def grown(seed: int, n_trees: int, n_weights: int, *, strict: bool) -> Trees:
    """Return trees grown at random, on thresholds that rows meet."""
    rng = np.random.default_rng(seed)
    left: list[int] = []
    right: list[int] = []

    def grow(depth: int) -> int:
        node = len(left)
        left.append(-1)
        right.append(-1)
        if depth < 5 and rng.random() < 0.7:
            left[node], right[node] = grow(depth + 1), grow(depth + 1)
        return node

    root_T = np.array([grow(0) for _ in range(n_trees)])
    n_nodes = len(left)
    return Trees(
        root_T=root_T,
        left_K=np.array(left),
        right_K=np.array(right),
        feature_K=rng.integers(0, N_FEATURES, n_nodes),
        threshold_K=rng.integers(-2, 3, n_nodes).astype(np.float32),
        strict=strict,
        weight_KW=rng.normal(size=(n_nodes, n_weights)).astype(np.float32),
    )


def walked_alone(trees: Trees, x_F: Any) -> Any:
    total_W = np.zeros(trees.weight_KW.shape[1], dtype=np.float32)
    for node in trees.root_T:
        while trees.left_K[node] >= 0:
            x, threshold = x_F[trees.feature_K[node]], trees.threshold_K[node]
            goes_left = x < threshold if trees.strict else x <= threshold
            node = (trees.left_K if goes_left else trees.right_K)[node]
        total_W += trees.weight_KW[node]
    return total_W


def operator(trees: Trees) -> Any:
    graph = OnnxGraph()
    sums = graph.float64(add_trees(graph, "features", trees))
    graph.linear(sums, np.zeros((trees.weight_KW.shape[1], 2)), np.zeros(2))
    content = graph.serialised(shape=["n_rows", N_FEATURES], notes={})
    nodes = onnx.load_model_from_string(content).graph.node
    return next(one for one in nodes if one.op_type == "TreeEnsembleRegressor")


grown_trees = st.builds(
    grown, st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 2), strict=st.booleans()
)


@given(trees=grown_trees, n_rows=st.integers(1, 40), seed=st.integers(0, 100))
def test_rows_that_walk_together_end_where_each_ends_alone(
    trees: Trees, n_rows: int, seed: int
) -> None:
    x_NF = np.random.default_rng(seed).integers(-3, 4, (n_rows, N_FEATURES)).astype(float)
    wanted_NW = np.array([walked_alone(trees, x_F) for x_F in x_NF])
    sums_NW = TreeWalk.of(trees)(x_NF)
    assert sums_NW.dtype == np.float32
    assert np.array_equal(sums_NW, wanted_NW)


@given(trees=grown_trees)
def test_trees_are_read_back_from_their_operator(trees: Trees) -> None:
    again = read_trees(operator(trees))
    assert again is not None
    x_NF = np.random.default_rng(0).integers(-3, 4, (50, N_FEATURES)).astype(float)
    assert np.array_equal(TreeWalk.of(again)(x_NF), TreeWalk.of(trees)(x_NF))
    assert operator(again) == operator(trees)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("aggregate_function", "AVERAGE"),
        ("post_transform", "LOGISTIC"),
        ("base_values", [1.0]),
        ("nodes_modes", None),
        ("nodes_nodeids", "backwards"),
        ("target_weights", "one more"),
    ],
)
def test_an_operator_that_means_something_else_is_not_read(name: str, value: Any) -> None:
    node = operator(grown(3, 4, 1, strict=False))
    kept = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    if value == "backwards":
        value = kept[name][::-1]
    if value == "one more":
        value = [*kept[name], 0.0]
    del node.attribute[:]
    changed = {**kept, name: value}
    node.attribute.extend(make_attribute(k, v) for k, v in changed.items() if v is not None)
    assert read_trees(node) is None


@pytest.mark.parametrize("child", [0, 1, 99])
def test_nodes_that_are_no_trees_are_refused(child: int) -> None:
    trees = Trees(
        root_T=np.array([0]),
        left_K=np.array([1, -1, -1]),
        right_K=np.array([child, -1, -1]),
        feature_K=np.zeros(3, dtype=int),
        threshold_K=np.zeros(3, dtype=np.float32),
        strict=True,
        weight_KW=np.zeros((3, 1), dtype=np.float32),
    )
    with pytest.raises(ValueError, match="nodes that are no trees"):
        TreeWalk.of(trees)


def test_a_feature_that_rows_do_not_have_is_refused() -> None:
    walk = TreeWalk.of(grown(1, 5, 1, strict=True))
    with pytest.raises(ValueError, match=r"^trees of 3 features, given 2$"):
        walk(np.zeros((4, 2)))


thresholds = st.floats(-1e30, 1e30) | st.integers(-3, 3).map(float)


@given(threshold=thresholds, steps=st.integers(-2, 2))
def test_no_float32_tells_a_threshold_from_its_rounding(threshold: float, steps: int) -> None:
    x = np.float32(threshold)
    for _ in range(abs(steps)):
        x = np.nextafter(x, np.float32(np.inf if steps > 0 else -np.inf))
    rounded: FloatArray = rounded_down(np.array([threshold]))
    assert (x <= rounded[0]) == (float(x) <= threshold)
