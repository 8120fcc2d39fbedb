"""Parameters that hold a trade longer together: what no one of them can do while the others cut.

A dozen rules may end a trade. To make one patient changes little while eleven are not; to make all
that watch losses patient changes how losses are held. So they are varied, and judged, together as
well: by what they are patient with, as the parameters' table says.

Axes: N rows, P the 132 parameters, B the kinds of patience.
"""

from typing import Final, get_args

import numpy as np

from exits.parameters import PARAMETERS, Patience
from market.bars import FloatArray

KINDS: Final[tuple[Patience, ...]] = tuple(one for one in get_args(Patience) if one)

_SIGN = {"high": 1.0, "low": -1.0, "": 0.0}
_SIGN_P = np.array([_SIGN[parameter.patient] for parameter in PARAMETERS])
# Shape (B, P): 1 or -1 where a parameter is of the kind and high or low is patient, else 0.
DIRECTION_BP: Final = _SIGN_P * np.array(
    [[one.patience == kind for one in PARAMETERS] for kind in KINDS]
)


def moved(unit_NP: FloatArray, level_NB: FloatArray) -> FloatArray:
    """Return parameters in [0, 1] moved towards their patient ends, or the others.

    Parameters
    ----------
    unit_NP : float64 array, shape (n_rows, 132)
    level_NB : float64 array, shape (n_rows, n_kinds)
        1 goes all the way to the patient end, -1 to the other, 0 nowhere.
    """
    towards_NP = level_NB @ DIRECTION_BP
    room_NP = np.where(towards_NP > 0, 1.0 - unit_NP, unit_NP)
    moved_NP: FloatArray = unit_NP + towards_NP * room_NP
    return moved_NP


def levels(deviation_NP: FloatArray) -> FloatArray:
    """Return the mean deviation towards patience of each kind, shape (n_rows, n_kinds)."""
    weight_BP = DIRECTION_BP / np.abs(DIRECTION_BP).sum(axis=1, keepdims=True)
    level_NB: FloatArray = deviation_NP @ weight_BP.T
    return level_NB
