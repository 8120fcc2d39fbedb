"""A model opened from its ONNX form: answers as the model does, through ONNX Runtime.

Axes: N rows, F features.
"""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from market.bars import FloatArray
from models.base import ModelError
from models.net_rows import padded, windows
from models.onnx_graph import FEATURES, ML, PROBABILITIES
from models.onnx_shape import check_onnx
from models.onnx_trees import OPERATOR, read_trees
from models.tree_walk import TreeWalk

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession, RunOptions

Rows = Callable[[FloatArray], FloatArray]

# So many rows are answered at once: more would only take more memory.
BATCH_ROWS = 4096
# Nobody looks back so far, and each takes its memory.
MOST_LOOKBACK_ROWS = 10_000


class OnnxModel:
    """A model as `Model.to_onnx` wrote it; imports nothing that it was trained with.

    It can be asked from several threads.

    Parameters
    ----------
    content : bytes
        Of the file.

    Attributes
    ----------
    name : str
        Kind of the model.
    names_F : tuple of str
        Features, in the order of columns.
    context_rows : int
        Rows before a block that a prediction looks back on.

    Raises
    ------
    ModelError
        If ONNX Runtime cannot open it, it needs other files, or it does not say what it is.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._session = opened(content)
        # Made anew, as they would be for every call, they take a microsecond.
        self._options = _run_options()
        self.name, self.names_F, self.context_rows = _notes(self._session)
        self._batch: Rows | None = None

    def predict_proba(self, x_NF: FloatArray, context_NF: FloatArray | None = None) -> FloatArray:
        """Return the probabilities of losing and winning.

        Parameters
        ----------
        x_NF : float64 array, shape (n_rows, n_features)
            Finite: whoever hands them over has looked.
        context_NF : float64 array, shape (n_before, n_features), optional
            Features of the rows directly before, for models that look back; the first row stands
            for those missing.

        Returns
        -------
        float64 array, shape (n_rows, 2)
        """
        given = self._windows(x_NF, context_NF) if self.context_rows else x_NF
        if len(given) == 0:
            return np.zeros((0, 2))
        if len(given) < BATCH_ROWS:
            return self._answers(given)
        if self._batch is None:
            self._batch = _through_trees(self._content) or self._answers
        parts = [self._batch(part) for part in _parts(given)]
        return np.concatenate(parts)

    def _answers(self, given: FloatArray) -> FloatArray:
        p_N2: FloatArray = self._session.run([PROBABILITIES], {FEATURES: given}, self._options)[0]
        return p_N2

    def _windows(self, x_NF: FloatArray, context_NF: FloatArray | None) -> FloatArray:
        wanted = self.context_rows
        context_NF = x_NF[:0] if context_NF is None else context_NF
        if len(x_NF) == 1 and len(context_NF) >= wanted:
            return np.concatenate([context_NF[-wanted:], x_NF])[None]
        if len(x_NF) == 0:
            return np.zeros((0, wanted + 1, len(self.names_F)))
        return windows(padded(x_NF, context_NF, wanted + 1), wanted + 1)


def _parts(given: FloatArray) -> Iterator[FloatArray]:
    for first in range(0, len(given), BATCH_ROWS):
        yield np.ascontiguousarray(given[first : first + BATCH_ROWS])


def opened(content: bytes) -> "InferenceSession":
    """Return ONNX Runtime's session of a file whose form was looked over; raises ModelError."""
    import onnxruntime
    from onnxruntime.capi import (
        onnxruntime_pybind11_state as state,
    )

    check_onnx(content)
    options = onnxruntime.SessionOptions()
    # One row is over before a second thread has woken up.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    refusals = (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoModel,
        state.NotImplemented,
        state.RuntimeException,
    )
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except refusals as error:
        finding = str(error).partition("\n")[0]
        raise ModelError(f"ONNX Runtime {onnxruntime.__version__}: {finding}") from error


def _notes(session: "InferenceSession") -> tuple[str, tuple[str, ...], int]:
    """Return kind, features and rows to look back on, as they are written in the file."""
    notes = session.get_modelmeta().custom_metadata_map
    try:
        kind, names, lookback = (
            json.loads(notes[key]) for key in ("kind", "features", "lookback_rows")
        )
        window = [lookback + 1] if lookback else []
        wanted = (FEATURES, [*window, len(names)])
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError("its metadata does not say kind, features and lookback_rows") from error
    if not 0 <= lookback <= MOST_LOOKBACK_ROWS:
        raise ModelError(
            f"it looks back on {lookback} rows, expected from 0 to {MOST_LOOKBACK_ROWS}"
        )
    taken = session.get_inputs()[0]
    if (taken.name, taken.shape[1:]) != wanted:
        raise ModelError(
            f"it takes {taken.name} of shape {taken.shape}, its metadata speaks of "
            f"{len(names)} features and {lookback} rows to look back on"
        )
    return str(kind), tuple(str(name) for name in names), lookback


def _run_options() -> "RunOptions":
    from onnxruntime import RunOptions

    return RunOptions()


def _through_trees(content: bytes) -> Rows | None:
    """Return what answers many rows: trees by `TreeWalk`, the rest by ONNX Runtime.

    None where there are no trees. The answers are the same to the last bit: sums of leaves are
    added in the same order.
    """
    import onnx

    model = onnx.load_model_from_string(content)
    walks = _cut_out_trees(model)
    if not walks:
        return None
    rest = opened(model.SerializeToString())
    wants_features = any(one.name == FEATURES for one in rest.get_inputs())

    def answers(x_NF: FloatArray) -> FloatArray:
        given: dict[str, Any] = {name: walk(x_NF) for name, walk in walks.items()}
        if wants_features:
            given[FEATURES] = x_NF
        p_N2: FloatArray = rest.run([PROBABILITIES], given)[0]
        return p_N2

    return answers


def _cut_out_trees(model: "ModelProto") -> dict[str, TreeWalk]:
    """Turn the results of trees into inputs of the graph; return the trees by those names."""
    from onnx import TensorProto
    from onnx.helper import make_tensor_value_info

    graph = model.graph
    nodes = [one for one in graph.node if (one.domain, one.op_type) == (ML, OPERATOR)]
    # A walk rounds the features itself.
    rounded = {
        one.output[0]
        for one in graph.node
        if one.op_type == "Cast" and list(one.input) == [FEATURES]
    }
    trees = {one.output[0]: read_trees(one) for one in nodes if one.input[0] in rounded}
    try:
        walks = {name: TreeWalk.of(made) for name, made in trees.items() if made is not None}
    except ValueError:
        # No trees of ours: ONNX Runtime says what it makes of them.
        return {}
    if len(walks) < len(nodes):
        return {}
    rest = [one for one in graph.node if one.output[0] not in walks]
    used = {name for one in rest for name in one.input}
    kept = [one for one in rest if one.output[0] in used | {PROBABILITIES}]
    used = {name for one in kept for name in one.input}
    inputs = [one for one in graph.input if one.name in used]
    for name, walk in walks.items():
        shape = ["n_rows", walk.weight_KW.shape[1]]
        inputs.append(make_tensor_value_info(name, TensorProto.FLOAT, shape))
    del graph.node[:], graph.input[:]
    graph.node.extend(kept)
    graph.input.extend(inputs)
    return walks
