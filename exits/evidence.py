"""What the data say of each parameter: identified or not, and how the net fares where it must.

Axes: N held-back decisions, P the 132 parameters.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from exits.credit import Credited
from exits.exit_net import ExitNet, Float32Array
from exits.exit_net_training import Lessons
from exits.parameters import ATR, INDEX, N_PARAMETERS, PARAMETERS
from exits.significance import adjusted
from market.bars import FloatArray
from market.compiled import BoolArray, IndexArray

_ATR_P: Final = INDEX[ATR]
_LEAST_SPREAD: Final = 1e-4
# Less than that of a constant is no error that anything could be saved of.
_LEAST_ERROR: Final = 1e-9
# By which the forecast of the ATR must be better than the measured one.
_LEAST_ATR_GAIN: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterEvidence:
    """What the data say of one parameter.

    Attributes
    ----------
    name : str
    spread : float
        Standard deviation of what was decided, as a share of the range.
    net_error, constant_error, copy_error : float
        Weighted mean squared error on held-back decisions, in squares of the range: of the net, of
        the best constant of the training part, and of what was in force before.
    gain : float
        Share of the constant's error that the net saves; 0 where it has none.
    effect_r : float
        What one standard deviation is worth in R, over states.
    p_value : float
        That it does nothing.
    identified : bool
        Whether the net decides it.
    why : str
    default : float
        What it is otherwise, in real units.
    mean_learnt : float
        Mean of the net's answers to held-back decisions, in real units (`current_atr`: as a
        multiple of the measured ATR).
    """

    name: str
    spread: float
    net_error: float
    constant_error: float
    copy_error: float
    gain: float
    effect_r: float
    p_value: float
    identified: bool
    why: str
    default: float
    mean_learnt: float


@dataclass(frozen=True, slots=True)
class CopyTest:
    """Weighted mean squared error on held-back decisions, over identified parameters.

    Attributes
    ----------
    net : float
    copy : float
        Of keeping what was in force.
    constant : float
        Of the training part's mean.
    """

    net: float
    copy: float
    constant: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of judging.

    Attributes
    ----------
    identified_P : bool array
    base_P : float64 array
        What the others are, in real units.
    evidence : tuple of ParameterEvidence
    copy_test : CopyTest
    """

    identified_P: BoolArray
    base_P: FloatArray
    evidence: tuple[ParameterEvidence, ...]
    copy_test: CopyTest


def judge(
    *,
    net: ExitNet,
    fitted: Lessons,
    held: Lessons,
    previous_NP: FloatArray,
    trade_N: IndexArray,
    credited: Credited,
    base_P: FloatArray,
    atr_ratio: tuple[float, float],
    false_discovery_rate: float,
) -> Judged:
    """Hold the net against constants and against copying, and decide what it may decide.

    Parameters
    ----------
    previous_NP : float64 array, shape (n_held, 132)
        In force before the held-back decisions, in [0, 1].
    trade_N : int64 array, shape (n_held,)
        Decisions of one trade are dependent.
    base_P : float64 array
        What unidentified parameters are, in real units.
    atr_ratio : pair of floats
        What 0 and 1 mean for `current_atr`, as multiples of the measured ATR.
    """
    answer_NP = net.forward(held.unit_NF).astype(np.float64)
    constant_P = _mean(fitted.target_NP.astype(np.float64), fitted.weight_NP)
    measured = np.clip((1.0 - atr_ratio[0]) / (atr_ratio[1] - atr_ratio[0]), 0.0, 1.0)
    squares = {
        "net": (answer_NP - held.target_NP) ** 2,
        "constant": (constant_P - held.target_NP) ** 2,
        "copy": (previous_NP - held.target_NP) ** 2,
    }
    errors = {name: _mean(one_NP, held.weight_NP) for name, one_NP in squares.items()}
    told_P = errors["constant"] > _LEAST_ERROR
    gain_P = np.where(told_P, 1.0 - errors["net"] / np.where(told_P, errors["constant"], 1.0), 0.0)
    spread_P = fitted.target_NP.std(axis=0).astype(np.float64)
    p_value_P = credited.p_value_P
    if p_value_P is None:
        saved_NP = held.weight_NP * (squares["constant"] - squares["net"])
        p_value_P = adjusted(_no_gain(saved_NP, trade_N))
    identified_P = (p_value_P <= false_discovery_rate) & (spread_P > _LEAST_SPREAD)
    if credited.p_value_P is None:
        identified_P &= gain_P > 0
    measured_error = _mean((measured - held.target_NP) ** 2, held.weight_NP)[_ATR_P]
    best = min(measured_error, errors["constant"][_ATR_P])
    identified_P[_ATR_P] = errors["net"][_ATR_P] < (1.0 - _LEAST_ATR_GAIN) * best
    evidence = tuple(
        ParameterEvidence(
            name=parameter.name,
            spread=float(spread_P[p]),
            net_error=float(errors["net"][p]),
            constant_error=float(errors["constant"][p]),
            copy_error=float(errors["copy"][p]),
            gain=float(gain_P[p]),
            effect_r=float(credited.effect_P[p]),
            p_value=float(p_value_P[p]),
            identified=bool(identified_P[p]),
            why=_why(p, credited, bool(identified_P[p]), float(base_P[p])),
            default=1.0 if p == _ATR_P else float(base_P[p]),
            mean_learnt=_in_real_units(p, float(answer_NP[:, p].mean()), atr_ratio),
        )
        for p, parameter in enumerate(PARAMETERS)
    )
    return Judged(
        identified_P=identified_P,
        base_P=base_P,
        evidence=evidence,
        copy_test=CopyTest(**{name: _over(errors[name], identified_P) for name in squares}),
    )


def _mean(value_NP: FloatArray, weight_NP: Float32Array) -> FloatArray:
    total_P = weight_NP.sum(axis=0, dtype=np.float64)
    weighted_P: FloatArray = (value_NP * weight_NP).sum(axis=0, dtype=np.float64)
    return weighted_P / np.where(total_P > 0, total_P, 1.0)


def _no_gain(saved_NP: FloatArray, trade_N: IndexArray) -> FloatArray:
    """Return p values of saving nothing; decisions of one trade count as one."""
    from scipy.special import ndtr

    _, place_N = np.unique(trade_N, return_inverse=True)
    sum_MP = np.zeros((place_N.max() + 1, N_PARAMETERS))
    np.add.at(sum_MP, place_N, saved_NP)
    spread_P = np.sqrt((sum_MP**2).sum(axis=0))
    p_P: FloatArray = ndtr(-sum_MP.sum(axis=0) / np.where(spread_P > 0, spread_P, np.inf))
    return p_P


def _over(error_P: FloatArray, identified_P: BoolArray) -> float:
    chosen_P = identified_P.copy()
    chosen_P[_ATR_P] = False
    return float(error_P[chosen_P].mean()) if chosen_P.any() else float("nan")


def _why(p: int, credited: Credited, identified: bool, base: float) -> str:
    if p == _ATR_P:
        better = "a better" if identified else "no better"
        return f"{better} forecast of the ATR than the measured one"
    if credited.why:
        told = credited.why[p]
    else:
        told = "the state tells it" if identified else "the state does not tell it"
    return told if identified else f"{told}; stays at {base:g}"


def _in_real_units(p: int, unit: float, atr_ratio: tuple[float, float]) -> float:
    low, high = PARAMETERS[p].low, PARAMETERS[p].high
    if p == _ATR_P:
        low, high = atr_ratio
    return low + unit * (high - low)
