"""A model as one ONNX graph, node by node: raw features in, calibrated probabilities out.

A graph uses the domains ai.onnx and ai.onnx.ml alone, at versions that runtimes of 2021 can
read, and holds all its weights. The same model gives the same bytes.

Axes: N rows, F features, I inputs and O outputs of a linear map, J of another before it, K knots.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from market.bars import FloatArray
from models.calibration import Calibration

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

FILE_NAME = "model.onnx"
FEATURES, PROBABILITIES = "features", "probabilities"
OPSET, OPSET_ML, IR_VERSION = 13, 2, 7
ML = "ai.onnx.ml"


class OnnxGraph:
    """A graph under construction; every result is known by a name that `node` gives it."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._cast: dict[tuple[str, int], str] = {}
        self._linear: dict[str, tuple[str, Any, Any]] = {}

    def node(
        self,
        operator: str,
        *inputs: str,
        attributes: Mapping[str, Any] | None = None,
        domain: str = "",
        output: int = 0,
    ) -> str:
        """Add an operator; return the name of its result number ``output``."""
        from onnx.helper import make_node

        result = f"{operator}_{len(self._nodes)}"
        outputs = [""] * output + [result]
        made = make_node(
            operator, inputs, outputs, name=result, domain=domain, **(attributes or {})
        )
        self._nodes.append(made)
        return result

    def constant(self, value: npt.ArrayLike) -> str:
        """Add an array, of its own data type, and return its name."""
        from onnx.numpy_helper import from_array

        name = f"constant_{len(self._constants)}"
        self._constants.append(from_array(np.asarray(value), name))
        return name

    def float32(self, name: str) -> str:
        """Return the name of the same numbers, rounded to float32."""
        from onnx import TensorProto

        return self._as_type(name, TensorProto.FLOAT)

    def float64(self, name: str) -> str:
        """Return the name of the same numbers as float64."""
        from onnx import TensorProto

        return self._as_type(name, TensorProto.DOUBLE)

    def _as_type(self, name: str, to: int) -> str:
        if (name, to) not in self._cast:
            self._cast[name, to] = self.node("Cast", name, attributes={"to": to})
        return self._cast[name, to]

    def standardised(self, name: str, mean_F: FloatArray, scale_F: FloatArray) -> str:
        """Centre and scale features in float64; a scale that is infinite gives 0."""
        return self.node(
            "Div", self.node("Sub", name, self.constant(mean_F)), self.constant(scale_F)
        )

    def linear(self, name: str, weight_IO: Any, bias_O: Any) -> str:
        """Add rows (N, I) times weights plus bias, in the data type of all three.

        Straight after another such map, both become one: every node costs an answer time.
        """
        if self._nodes and self._nodes[-1].output[0] == name and name in self._linear:
            name, before_IJ, before_J = self._linear[name]
            weight_IO, bias_O = before_IJ @ weight_IO, before_J @ weight_IO + bias_O
            del self._nodes[-1], self._constants[-2:]
        result = self.node("Gemm", name, self.constant(weight_IO), self.constant(bias_O))
        self._linear[result] = (name, weight_IO, bias_O)
        return result

    def serialised(self, *, shape: Sequence[int | str], notes: Mapping[str, Any]) -> bytes:
        """Return the finished graph's bytes; the last node gives the probabilities, float64 (N, 2).

        Parameters
        ----------
        shape : sequence
            Of the features that are taken in; a name stands for any number.
        notes : mapping
            Written into the file's metadata, as JSON.
        """
        from onnx import TensorProto, checker, helper

        self._nodes[-1].output[0] = PROBABILITIES
        taken = helper.make_tensor_value_info(FEATURES, TensorProto.DOUBLE, list(shape))
        given = helper.make_tensor_value_info(PROBABILITIES, TensorProto.DOUBLE, [shape[0], 2])
        graph = helper.make_graph(self._nodes, "model", [taken], [given], self._constants)
        model = helper.make_model(
            graph,
            producer_name="assay",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML, OPSET_ML)],
        )
        helper.set_model_props(model, {name: json.dumps(value) for name, value in notes.items()})
        checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def add_answers(graph: OnnxGraph, log_odds: str, shift: float, calibration: Calibration) -> None:
    """End a graph with prior correction, calibration and the probabilities of losing and winning.

    Parameters
    ----------
    graph : OnnxGraph
    log_odds : str
        Name of a model's log-odds before both, float64 (N, 1).
    shift : float
        Added to the log-odds.
    calibration : Calibration
        Evaluated as it evaluates itself.
    """
    if calibration.kind == "isotonic":
        corrected = graph.node("Add", log_odds, graph.constant(shift))
        _add_knots(graph, corrected, np.array(calibration.log_odds_K), np.array(calibration.p_K))
        return
    slope, intercept = calibration.slope, calibration.slope * shift + calibration.intercept
    both = graph.linear(log_odds, np.array([[-slope, slope]]), np.array([-intercept, intercept]))
    graph.node("Sigmoid", both)


def _add_knots(graph: OnnxGraph, log_odds: str, knot_K: FloatArray, p_K: FloatArray) -> None:
    """Sum up the steps from knot to knot, each taken as far as a row has come along it."""
    ends_2 = np.array([1.0 - p_K[0], p_K[0]])
    if len(knot_K) == 1:
        graph.linear(log_odds, np.zeros((1, 2)), ends_2)
        return
    past = graph.node("Sub", log_odds, graph.constant(knot_K[:-1]))
    share = graph.node("Div", past, graph.constant(np.diff(knot_K)))
    taken = graph.node("Clip", share, graph.constant(0.0), graph.constant(1.0))
    step_K = np.diff(p_K)
    graph.linear(taken, np.column_stack([-step_K, step_K]), ends_2)
