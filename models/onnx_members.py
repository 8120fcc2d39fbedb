"""What each member of a council says, from the council's own ONNX file.

The file holds every member whole, and their log-odds side by side before the mean is taken. The
same graph, ended there, answers for each of them, and nothing that they were trained with is
needed.

Axes: N rows, F features, M members.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from market.bars import FloatArray
from models.base import ModelError
from models.onnx_graph import FEATURES
from models.onnx_model import opened

if TYPE_CHECKING:
    from onnx import GraphProto

MEMBERS = "members"
_JOIN, _LIMIT = "Concat", "Clip"


class OnnxMembers:
    """The members of a council as `models.council.Council` wrote it; can be asked from threads.

    Parameters
    ----------
    content : bytes
        Of the council's file, verified.
    names : sequence of str
        Of the members, in the order of `Council.members`.

    Raises
    ------
    ModelError
        If the file does not hold so many members side by side.
    """

    def __init__(self, content: bytes, names: Sequence[str]) -> None:
        import onnx
        from onnx import TensorProto
        from onnx.helper import make_node, make_tensor_value_info

        self.names = tuple(names)
        model = onnx.load_model_from_string(content)
        graph = model.graph
        clipped = _clipped_log_odds(graph, len(self.names))
        graph.node.append(make_node("Sigmoid", [clipped], [MEMBERS]))
        shape: list[str | int | None] = ["n_rows", len(self.names)]
        del graph.output[:]
        graph.output.append(make_tensor_value_info(MEMBERS, TensorProto.DOUBLE, shape))
        self._session = opened(model.SerializeToString())

    def predict(self, x_NF: FloatArray) -> FloatArray:
        """Return each member's probability of winning, within the council's clip.

        Parameters
        ----------
        x_NF : float64 array, shape (n_rows, n_features)
            Finite.

        Returns
        -------
        float64 array, shape (n_rows, n_members)
        """
        if len(x_NF) == 0:
            return np.zeros((0, len(self.names)))
        p_NM: FloatArray = self._session.run([MEMBERS], {FEATURES: x_NF})[0]
        return p_NM


def _clipped_log_odds(graph: "GraphProto", n_members: int) -> str:
    """Return the name of the members' log-odds side by side, corrected and clipped."""
    readers: dict[str, list[tuple[str, str]]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append((node.op_type, node.output[0]))
    joins = [node for node in graph.node if node.op_type == _JOIN and len(node.input) == n_members]
    for join in joins:
        for _, corrected in readers.get(join.output[0], ()):
            for operator, clipped in readers.get(corrected, ()):
                if operator == _LIMIT:
                    return clipped
    raise ModelError(f"it does not hold {n_members} members side by side")
