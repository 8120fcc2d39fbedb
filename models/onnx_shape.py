"""Looks over an ONNX file before a runtime does: what it may compute, and that it is all there.

Reads no more of Protocol Buffers' wire format (https://protobuf.dev/programming-guides/encoding)
than it takes to find operators, their attributes and the sizes of constants, so that nothing need
be imported for it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from market.reading.safe_names import printable
from models.base import ModelError

_TREES = "TreeEnsembleRegressor"
_OF_NODES = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
_OF_TARGETS = ("treeids", "nodeids", "ids", "weights")
# What our own models are made of, and attributes as they give them: numbers, lists of numbers and
# texts. None can loop, call functions or open a file.
OPERATORS = MappingProxyType(
    {
        **dict.fromkeys(("Add", "Clip", "Div", "Gemm", "Log", "Relu", "Sigmoid"), ()),
        **dict.fromkeys(("Squeeze", "Sub", "Unsqueeze"), ()),
        "Cast": ("to",),
        "Concat": ("axis",),
        "LSTM": ("hidden_size",),
        "Transpose": ("perm",),
        _TREES: (
            *(f"nodes_{one}" for one in (*_OF_NODES, "missing_value_tracks_true")),
            *(f"target_{one}" for one in _OF_TARGETS),
            *("n_targets", "base_values", "aggregate_function", "post_transform"),
        ),
    }
)
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
# Each may take as much memory for a row as the widest constant.
MOST_NODES = 10_000
# More would be there to be filled in again and again: ours adds up once, over its members.
MOST_CONCATS = 1
MOST_TARGETS = 1_000
# What these give has axes in another order: combined with what has not, it would take the memory
# of the product.
_REORDER, _REORDERED_FOR = ("Transpose", "Unsqueeze"), "LSTM"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Fields by their numbers in onnx.proto.
_GRAPH, _TRAINING, _FUNCTIONS = 7, 20, 25
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7
_NAME, _INTEGER = 1, 3
_DIMS, _TENSOR_NAME, _EXTERNAL, _LOCATION = 1, 8, 13, 14
# Of an attribute: its name, float, integer, text, lists of the three, description and kind.
_PLAIN = frozenset({_NAME, 2, _INTEGER, 4, 7, 8, 9, 13, 20})
# A forest has its numbers in a million fields one after another, which are passed at once: floats,
# integers, and the kinds of nodes.
_RUN = re.compile(
    rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]|\x4a(?:\x04LEAF|\x09BRANCH_LT|\x0aBRANCH_LEQ))++",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Node:
    operator: str
    inputs: Sequence[str]
    outputs: Sequence[str]


def check_onnx(content: bytes) -> None:
    """Refuse a model that ours could not be: other operators or attributes, weights in other files.

    And one that would take far more memory than it has bytes: constants computed from constants,
    or results that grow from node to node.

    Raises
    ------
    ModelError
        One line saying what was found.
    """
    n_graphs = 0
    for field, value in _fields(memoryview(content)):
        if field in (_TRAINING, _FUNCTIONS):
            raise ModelError("it holds more than a graph of operators")
        if field == _GRAPH:
            n_graphs += 1
            _check_graph(_message(value))
    if n_graphs > 1:
        # A reader would join the parts that were looked at one by one.
        raise ModelError("it holds more than one graph")


def _check_graph(graph: memoryview) -> None:
    nodes: list[_Node] = []
    rank_of: dict[str, int] = {}
    for field, value in _fields(graph):
        if field == _SPARSE:
            raise ModelError("it holds sparse weights")
        if field == _INITIALIZER:
            name, rank = _constant(_message(value))
            rank_of[name] = rank
        if field == _NODE:
            nodes.append(_node(_message(value)))
    _check_growth(nodes, rank_of)


def _check_growth(nodes: Sequence[_Node], rank_of: dict[str, int]) -> None:
    """Refuse what computes constants from constants, or makes a row wider than any constant is."""
    counted = Counter(one.operator for one in nodes)
    if len(nodes) > MOST_NODES or counted["Concat"] > MOST_CONCATS:
        raise ModelError(f"it holds {len(nodes)} operators, {counted['Concat']} of them Concat")
    reordered = {name for one in nodes if one.operator in _REORDER for name in one.outputs}
    for one in nodes:
        given = [name for name in one.inputs if name]
        computed = [name for name in given if name not in rank_of]
        if not computed:
            raise ModelError(f"it holds {one.operator} of constants alone")
        if reordered & set(given) and one.operator != _REORDERED_FOR:
            raise ModelError(f"it holds {one.operator} of axes in another order")
        if one.operator in ("Gemm", _REORDERED_FOR):
            if computed != given[:1]:
                raise ModelError(f"it holds {one.operator} of weights that are computed")
        elif any(rank_of.get(name, 0) > 1 for name in given):
            raise ModelError(f"it holds {one.operator} of a constant of several axes")
        if one.operator == "Concat" and len(set(given)) < len(given):
            raise ModelError("it holds Concat of one thing several times")


def _node(node: memoryview) -> _Node:
    operators: list[str] = []
    names: dict[int, list[str]] = {_INPUT: [], _OUTPUT: []}
    attributes: list[memoryview] = []
    for field, value in _fields(node):
        if field == _OPERATOR:
            operators.append(_text(value))
        elif field in names:
            names[field].append(_text(value))
        elif field == _DOMAIN and _text(value) not in DOMAINS:
            raise ModelError(f"it holds operators of {printable(_text(value)):.40}")
        elif field == _ATTRIBUTE:
            attributes.append(_message(value))
    for name in operators:
        if name not in OPERATORS:
            raise ModelError(
                f"it holds an operator that no model of ours has: {printable(name):.40}"
            )
    if len(operators) != 1:
        raise ModelError(f"it holds a node of {len(operators)} operators")
    for one in attributes:
        _check_attribute(one, operators[0])
    return _Node(operators[0], names[_INPUT], names[_OUTPUT])


def _check_attribute(attribute: memoryview, operator: str) -> None:
    for field, value in _fields(attribute, passing=_RUN):
        if field not in _PLAIN:
            raise ModelError(f"it holds {operator} with an attribute that is no number and no text")
        if field == _NAME and _text(value) not in OPERATORS[operator]:
            raise ModelError(
                f"it holds {operator} with an attribute that no model of ours has: "
                f"{printable(_text(value)):.40}"
            )
        if (field, operator) == (_INTEGER, _TREES) and not _is_small(value):
            raise ModelError(f"it holds {operator} of more than {MOST_TARGETS} targets")


def _is_small(value: "memoryview | int") -> bool:
    return isinstance(value, int) and value <= MOST_TARGETS


def _constant(tensor: memoryview) -> tuple[str, int]:
    """Return name and number of axes of a constant."""
    name, rank = "", 0
    for field, value in _fields(tensor):
        if field == _EXTERNAL or (field == _LOCATION and value != 0):
            raise ModelError("its weights lie in other files, expected them inside")
        if field == _TENSOR_NAME:
            name = _text(value)
        if field == _DIMS:
            # One after another or, in other writers' files, together.
            rank += 1 if isinstance(value, int) else sum(byte < 0x80 for byte in value)
    return name, rank


def _text(value: "memoryview | int") -> str:
    return bytes(_message(value)).decode("utf-8", "replace")


def _message(value: "memoryview | int") -> memoryview:
    if isinstance(value, int):
        raise ModelError("is no ONNX: a number stands where a message should")
    return value


def _fields(
    message: memoryview, passing: "re.Pattern[bytes] | None" = None
) -> Iterator[tuple[int, "memoryview | int"]]:
    """Yield number and value of each field of a message, but for those that are to be passed."""
    at = 0
    while at < len(message):
        run = None if passing is None else passing.match(message, at)
        if run is not None:
            at = run.end()
            continue
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ModelError(f"is no ONNX: a field of kind {kind}")
        if size > len(message) - at:
            raise ModelError("is no ONNX: a field claims more bytes than there are")
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for n, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            return value & (2**64 - 1), at + n + 1
    raise ModelError("is no ONNX: a number that does not end")
