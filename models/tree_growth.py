"""The compiled growth of one classification tree from ranks, as scikit-learn grows it.

Breiman, Friedman, Olshen, Stone, Classification and Regression Trees (1984). Rows are counted by
rank, and a bitmap says which ranks have any: that takes the place of sorting them. Where two cuts
are equally good, rounding decides: formulas are scikit-learn's, and their order matters.

Axes: M rows drawn, F features, K nodes, V ranks of a feature's values, W words of 64 ranks.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import types
from numba.extending import intrinsic

from market.bars import FloatArray
from market.compiled import compiled
from market.samples import IntArray
from models.forest_nodes import Float32Array, NodeArray

CodeArray = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

# Three counts share one number, so that a row is counted by one addition: rows, draws, wins.
_BITS = 21
MOST_DRAWS = (1 << _BITS) - 1
# Values that are no further apart are not cut.
_APART = np.float32(1e-7)
# More than rounding can make of a gain, as a share of the squared draws.
_ROUNDING = 1e-14


class Growth(NamedTuple):
    """What limits a tree.

    Attributes
    ----------
    max_depth : int
    min_samples_split, min_samples_leaf : int
        Rows, however often each was drawn.
    n_tried : int
        Features that are compared at a node, drawn anew for each; more where all are constant.
    """

    max_depth: int
    min_samples_split: int
    min_samples_leaf: int
    n_tried: int


class Rows(NamedTuple):
    """Rows of a node: which, and what each counts for."""

    row_M: npt.NDArray[np.uint32]
    packed_M: IntArray


class Scratch(NamedTuple):
    """What is written anew at every node.

    ``order_F`` holds the features that do not vary first: those known from above, of which
    ``constant_F`` keeps the order, and those found here. Features that were tried come last.
    """

    aside: Rows
    histogram_V: IntArray
    seen_W: npt.NDArray[np.uint64]
    order_F: IntArray
    constant_F: IntArray


class Cut(NamedTuple):
    """The best cut so far: the ranks on either side, what lies left, and how good it is.

    ``proxy`` is scikit-learn's measure. Where ``limit`` is not passed, by a formula without
    division, ``proxy`` cannot be either.
    """

    feature: int
    below: int
    above: int
    left: int
    proxy: float
    limit: float


@compiled
def grown(
    code_FM: CodeArray,
    value_FV: Float32Array,
    y_M: IntArray,
    count_M: IntArray,
    growth: Growth,
    state: np.uint32,
) -> tuple[NodeArray, NodeArray, NodeArray, FloatArray, FloatArray, FloatArray]:
    """Return nodes in the order of `Tree`, and what was gained by each feature."""
    rows, everything = _drawn(count_M, y_M)
    scratch = _scratch(value_FV, rows)
    n_most = 2 * (len(rows.row_M) // growth.min_samples_leaf) + 1
    left_K, right_K = np.full(n_most, -1, np.int32), np.full(n_most, -1, np.int32)
    feature_K, threshold_K = np.full(n_most, -2, np.int32), np.full(n_most, -2.0)
    p_K, gain_F = np.empty(n_most), np.zeros(len(code_FM))
    n_nodes = 0
    # Nodes to come: rows, depth, the node whose right child it is, constant features, counts.
    todo = [(0, len(rows.row_M), 0, -1, 0, everything)]
    while len(todo) > 0:
        first, end, depth, right_of, n_constant, total = todo.pop()
        node = n_nodes
        n_nodes += 1
        if right_of >= 0:
            right_K[right_of] = node
        p_K[node] = _won(total) / _draws(total)
        if _is_leaf(total, depth, growth):
            continue
        inside = Rows(rows.row_M[first:end], rows.packed_M[first:end])
        cut, n_constant, state = _best_cut(
            code_FM, value_FV, inside, total, growth, n_constant, scratch, state
        )
        # A cut that gains nothing is made as well: those below it may gain.
        if cut.feature < 0:
            continue
        _part(code_FM[cut.feature], cut.below, inside, scratch.aside)
        # The left child follows at once.
        left_K[node], feature_K[node] = n_nodes, cut.feature
        value_V = value_FV[cut.feature]
        threshold_K[node] = value_V[cut.below] / 2.0 + value_V[cut.above] / 2.0
        right, middle = total - cut.left, first + _rows(cut.left)
        gain_F[cut.feature] += _badness(total) - _badness(cut.left) - _badness(right)
        todo.append((middle, end, depth + 1, node, n_constant, right))
        todo.append((first, middle, depth + 1, -1, n_constant, cut.left))
    return (
        left_K[:n_nodes],
        right_K[:n_nodes],
        feature_K[:n_nodes],
        threshold_K[:n_nodes],
        p_K[:n_nodes],
        gain_F,
    )


@compiled
def _drawn(count_M: IntArray, y_M: IntArray) -> tuple[Rows, int]:
    """Return the rows that were drawn, and the sum of what they count for."""
    row_M = np.empty(len(count_M), np.uint32)
    packed_M = np.empty(len(count_M), np.int64)
    n_rows, total = 0, 0
    for row in range(len(count_M)):
        if count_M[row] > 0:
            packed = ((count_M[row] * y_M[row] << _BITS) + count_M[row] << _BITS) + 1
            row_M[n_rows], packed_M[n_rows] = row, packed
            total += packed
            n_rows += 1
    return Rows(row_M[:n_rows], packed_M[:n_rows]), total


@compiled
def _rows(packed: int) -> int:
    return packed & MOST_DRAWS


@compiled
def _draws(packed: int) -> int:
    return packed >> _BITS & MOST_DRAWS


@compiled
def _won(packed: int) -> int:
    return packed >> 2 * _BITS


@compiled
def _scratch(value_FV: Float32Array, rows: Rows) -> Scratch:
    n_features, n_ranks = value_FV.shape
    return Scratch(
        aside=Rows(np.empty_like(rows.row_M), np.empty_like(rows.packed_M)),
        histogram_V=np.zeros(n_ranks, np.int64),
        seen_W=np.zeros(n_ranks // 64 + 1, np.uint64),
        order_F=np.arange(n_features),
        constant_F=np.empty(n_features, np.int64),
    )


@compiled
def _is_leaf(total: int, depth: int, growth: Growth) -> bool:
    least = max(growth.min_samples_split, 2 * growth.min_samples_leaf)
    is_pure = _won(total) == 0 or _won(total) == _draws(total)
    return depth >= growth.max_depth or _rows(total) < least or is_pure


@compiled
def _impurity(packed: int) -> float:
    """Return Gini's impurity."""
    won, lost = _won(packed), _draws(packed) - _won(packed)
    squared = np.float64(_draws(packed) * _draws(packed))
    return 1.0 - np.float64(lost * lost + won * won) / squared


@compiled
def _badness(packed: int) -> float:
    return _draws(packed) * _impurity(packed)


@compiled
def _best_cut(
    code_FM: CodeArray,
    value_FV: Float32Array,
    inside: Rows,
    total: int,
    growth: Growth,
    n_known: int,
    scratch: Scratch,
    state: np.uint32,
) -> tuple[Cut, int, np.uint32]:
    """Try features in random order; return the cut, how many do not vary, and the state."""
    best = Cut(-1, -1, -1, 0, -np.inf, -1.0)
    order_F, constant_F = scratch.order_F, scratch.constant_F
    n_tried, n_known_drawn, n_found, n_open = 0, 0, 0, len(order_F)
    while n_open > n_known + n_found and (
        n_tried < growth.n_tried or n_tried == n_found + n_known_drawn
    ):
        n_tried += 1
        state = _next(state)
        n_choices = np.uint32(n_open - n_found - n_known_drawn)
        at = n_known_drawn + np.int64((state & np.uint32(0x7FFFFFFF)) % n_choices)
        if at < n_known:
            order_F[at], order_F[n_known_drawn] = order_F[n_known_drawn], order_F[at]
            n_known_drawn += 1
            continue
        at += n_found
        feature, value_V = order_F[at], value_FV[order_F[at]]
        _count(code_FM[feature], inside, scratch)
        lowest, highest, best = _scanned(feature, value_V, total, growth, scratch, best)
        if value_V[highest] <= value_V[lowest] + _APART:
            place = n_known + n_found
            n_found += 1
        else:
            n_open -= 1
            place = n_open
        order_F[at], order_F[place] = order_F[place], feature
    # Loops: slices that are assigned to slices take two seconds more to compile.
    for place in range(n_known):
        order_F[place] = constant_F[place]
    for place in range(n_known, n_known + n_found):
        constant_F[place] = order_F[place]
    return best, n_known + n_found, state


@compiled
def _count(code_M: CodeArray, inside: Rows, scratch: Scratch) -> None:
    """Add up rows by rank, and mark the ranks."""
    for at in range(len(inside.row_M)):
        code = np.uint64(code_M[inside.row_M[at]])
        scratch.histogram_V[code] += inside.packed_M[at]
        scratch.seen_W[code >> np.uint64(6)] |= np.uint64(1) << (code & np.uint64(63))


@compiled
def _scanned(
    feature: int,
    value_V: Float32Array,
    total: int,
    growth: Growth,
    scratch: Scratch,
    best: Cut,
) -> tuple[int, int, Cut]:
    """Walk through the ranks that were counted, and clear them.

    Return the lowest and the highest, and the best cut: this feature's, if it has a better one.
    """
    seen_W, least, most = scratch.seen_W, growth.min_samples_leaf, _rows(total)
    lowest, code, left, word = -1, -1, 0, 0
    while _rows(left) < _rows(total):
        bits = seen_W[word]
        seen_W[word] = 0
        while bits != 0:
            code = word * 64 + _lowest_bit(bits)
            bits &= bits - np.uint64(1)
            left += scratch.histogram_V[code]
            scratch.histogram_V[code] = 0
            lowest = code if lowest < 0 else lowest
            if _rows(left) < least or _rows(left) > most - least:
                continue
            right = total - left
            off = np.float64(_won(left) * _draws(total) - _won(total) * _draws(left))
            spread = np.float64(_draws(left)) * np.float64(_draws(right))
            if off * off <= best.limit * spread:
                continue
            proxy = -np.float64(_draws(right)) * _impurity(right) - _badness(left)
            if proxy > best.proxy:
                above = _next_seen(bits, seen_W, word)
                if value_V[above] > value_V[code] + _APART:
                    limit = off * off / spread - _ROUNDING * _draws(total) * _draws(total)
                    best = Cut(feature, code, above, left, proxy, limit)
        word += 1
    return lowest, code, best


@compiled
def _next_seen(bits: np.uint64, seen_W: npt.NDArray[np.uint64], word: int) -> int:
    while bits == 0:
        word += 1
        bits = seen_W[word]
    return word * 64 + int(_lowest_bit(bits))


@intrinsic  # type: ignore[untyped-decorator]
def _lowest_bit(typing_context: Any, bits: Any) -> Any:
    """Return the place of the lowest bit that is set: one instruction."""
    del typing_context, bits

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del signature
        return builder.cttz(arguments[0], context.get_constant(types.boolean, True))

    return types.int64(types.uint64), generate


@compiled
def _part(code_M: CodeArray, below: int, inside: Rows, aside: Rows) -> None:
    """Put the rows left of a cut first, keeping their order."""
    n_left, n_aside = 0, 0
    # Both are written and one is kept: a branch that nobody can guess would take longer.
    for at in range(len(inside.row_M)):
        row, packed = inside.row_M[at], inside.packed_M[at]
        goes_left = code_M[row] <= below
        inside.row_M[n_left], inside.packed_M[n_left] = row, packed
        aside.row_M[n_aside], aside.packed_M[n_aside] = row, packed
        n_left += goes_left
        n_aside += not goes_left
    for at in range(n_aside):
        inside.row_M[n_left + at] = aside.row_M[at]
        inside.packed_M[n_left + at] = aside.packed_M[at]


@compiled
def _next(state: np.uint32) -> np.uint32:
    """Return the generator's next state.

    Marsaglia, Xorshift RNGs, Journal of Statistical Software 8 (2003).
    """
    state = state if state != 0 else np.uint32(1)
    state ^= np.uint32(state << np.uint32(13))
    state ^= np.uint32(state >> np.uint32(17))
    return np.uint32(state ^ np.uint32(state << np.uint32(5)))
