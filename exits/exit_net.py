"""ExitParamsNet asked without PyTorch: 208 features to 132 parameters, both in [0, 1], compiled.

Axes: K rows, F features, I inputs and O outputs of a layer, H units of a hidden one, P parameters.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from exits.parameters import N_PARAMETERS
from market.compiled import IndexArray, vectorised

Float32Array = npt.NDArray[np.float32]
Layer = tuple[Float32Array, Float32Array]

HIDDEN = 256
WIDTHS = (208, HIDDEN, HIDDEN, HIDDEN, N_PARAMETERS)
N_LAYERS = len(WIDTHS) - 1

# Loads that begin a cache line are the quickest.
_LINE_BYTES = 64
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
# exp(-z) is 2^-n exp(-r) with z = n ln 2 + r and |r| at most half of ln 2, which is taken off in
# two parts: the first has so few digits that n times it is exact.
_LOG2_E, _LN2_FIRST, _LN2_REST = map(np.float32, (1.44269504, 0.693359375, -2.12194440e-4))
_TWO_TO_MINUS = (0.5 ** np.arange(128)).astype(np.float32)
# Beyond it exp(-z) is nothing beside 1, and 2^-n would be no normal number.
_FARTHEST = np.float32(80)
_E2, _E3, _E4, _E5, _E6 = map(np.float32, (1 / 2, -1 / 6, 1 / 24, -1 / 120, 1 / 720))


class ExitNet:
    """The net's weights, and its answer to rows of features.

    A row's answer is the same bits alone or among others, on any processor: sums go over inputs in
    their order, and nothing but single additions, multiplications and divisions is used.

    Parameters
    ----------
    layers : sequence of pairs of arrays
        Of each of the four layers weights, shape (n_in, n_out), and biases, shape (n_out,), by
        `WIDTHS`; a ReLU follows all but the last, a sigmoid that one.

    Attributes
    ----------
    layers : tuple of pairs of float32 arrays

    Raises
    ------
    ValueError
        One line: other shapes, both named, or a number that is not finite.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        check_shapes([np.shape(array) for layer in layers for array in layer])
        arrays = [np.asarray(array, np.float32) for layer in layers for array in layer]
        for place, array in enumerate(arrays):
            if not (finite := np.isfinite(array)).all():
                where = ("weights", "biases")[place % 2]
                found = array[~finite][0]
                raise ValueError(f"layer {place // 2}: {where} must be finite, one is {found}")
        self._packed = _packed(arrays)
        self._packed.flags.writeable = False
        self.layers: tuple[Layer, ...] = tuple(_views(self._packed))

    def forward(self, unit_KF: Float32Array) -> Float32Array:
        """Return the parameters in [0, 1] for rows of features in [0, 1].

        Parameters
        ----------
        unit_KF : float32 array, shape (K, 208)

        Returns
        -------
        float32 array, shape (K, 132)
            NaN throughout for a row that holds NaN.

        Raises
        ------
        ValueError
            If rows are of another length.
        """
        if unit_KF.ndim != 2 or unit_KF.shape[1] != WIDTHS[0]:
            raise ValueError(f"features must have shape (K, {WIDTHS[0]}), had {unit_KF.shape}")
        out_KP = np.empty((len(unit_KF), N_PARAMETERS), np.float32)
        _forward(np.ascontiguousarray(unit_KF, np.float32), self._packed, out_KP)
        return out_KP


def check_shapes(found: Sequence[tuple[int, ...]]) -> None:
    """Raise ValueError, naming both, if shapes are not those of the net's weights and biases."""
    expected: list[tuple[int, ...]] = []
    for n_in, n_out in pairwise(WIDTHS):
        expected += [(n_in, n_out), (n_out,)]
    if list(found) != expected:
        has, needs = (" ".join(map(str, shapes)) for shapes in (found, expected))
        raise ValueError(f"weights and biases have the shapes {has}, expected {needs}")


def _packed(arrays: Sequence[Float32Array]) -> Float32Array:
    """Return all numbers in one row of memory that begins where a cache line does."""
    n_numbers = sum(array.size for array in arrays)
    room = np.empty(n_numbers + _LINE_BYTES // 4, np.float32)
    start = -room.ctypes.data % _LINE_BYTES // 4
    packed = room[start : start + n_numbers]
    np.concatenate([array.ravel() for array in arrays], out=packed)
    return packed


def _views(packed: Float32Array) -> list[Layer]:
    layers, start = [], 0
    for n_in, n_out in pairwise(WIDTHS):
        middle, end = start + n_in * n_out, start + (n_in + 1) * n_out
        layers.append((packed[start:middle].reshape(n_in, n_out), packed[middle:end]))
        start = end
    return layers


@vectorised
def _forward(unit_KF: Float32Array, packed: Float32Array, out_KP: Float32Array) -> None:
    state_2H = np.empty((2, HIDDEN), np.float32)
    active_I = np.empty(HIDDEN, np.int64)
    for k in range(len(unit_KF)):
        x_I = unit_KF[k]
        start = 0
        for layer in range(N_LAYERS - 1):
            y_O = state_2H[layer % 2]
            start = _through(x_I, packed, start, y_O, active_I)
            for o in range(HIDDEN):
                # Compared this way round, what is not a number stays what it is.
                y_O[o] = _ZERO if y_O[o] < _ZERO else y_O[o]
            x_I = y_O
        _through(x_I, packed, start, out_KP[k], active_I)
        for p in range(N_PARAMETERS):
            out_KP[k, p] = _sigmoid(out_KP[k, p])


@vectorised
def _through(
    x_I: Float32Array, packed: Float32Array, start: int, y_O: Float32Array, active_I: IndexArray
) -> int:
    """Write a layer's sums, input after input but for zeros; return where the next one begins."""
    n_in, n_out = len(x_I), len(y_O)
    end = start + n_in * n_out
    weight_IO = packed[start:end].reshape(n_in, n_out)
    y_O[:] = packed[end : end + n_out]
    n_active = 0
    for i in range(n_in):
        active_I[n_active] = i
        n_active += x_I[i] != _ZERO
    done = 0
    # Four at a time, so that a sum is fetched and put back less often; their order stays.
    while done + 4 <= n_active:
        a, b, c, d = active_I[done], active_I[done + 1], active_I[done + 2], active_I[done + 3]
        by_a, by_b, by_c, by_d = x_I[a], x_I[b], x_I[c], x_I[d]
        a_O, b_O, c_O, d_O = weight_IO[a], weight_IO[b], weight_IO[c], weight_IO[d]
        for o in range(n_out):
            y_O[o] = y_O[o] + by_a * a_O[o] + by_b * b_O[o] + by_c * c_O[o] + by_d * d_O[o]
        done += 4
    while done < n_active:
        a = active_I[done]
        for o in range(n_out):
            y_O[o] += x_I[a] * weight_IO[a, o]
        done += 1
    return end + n_out


@vectorised
def _sigmoid(x: np.float32) -> np.float32:
    z = -x if x < _ZERO else x
    if z > _FARTHEST:
        z = _FARTHEST
    n = int(z * _LOG2_E + _HALF) if z == z else 0
    r = (z - np.float32(n) * _LN2_FIRST) - np.float32(n) * _LN2_REST
    power = _ONE - r + r * r * (_E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * _E6))))
    small = power * _TWO_TO_MINUS[n]
    return np.float32((small if x < _ZERO else _ONE) / (_ONE + small))
