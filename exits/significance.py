"""How sure an effect is: p values, many of them at once, and what is left of it less its noise."""

import numpy as np

from market.bars import FloatArray


def or_inf(size: FloatArray) -> FloatArray:
    """Return sizes to divide by: what has none becomes 0."""
    return np.where(size > 0, size, np.inf)


def p_values(effect: FloatArray, se: FloatArray) -> FloatArray:
    """Return two-sided p values of effects by their standard errors; 1 without one."""
    from scipy.special import ndtr

    p: FloatArray = 2.0 * ndtr(-np.abs(effect) / or_inf(se))
    return p


def adjusted(p: FloatArray) -> FloatArray:
    """Return p values adjusted to control the false discovery rate (Benjamini, Hochberg 1995)."""
    from scipy.stats import false_discovery_control

    adjusted_p: FloatArray = false_discovery_control(p.ravel()).reshape(p.shape)
    return adjusted_p


def shrunk(effect: FloatArray, se: FloatArray) -> FloatArray:
    """Draw effects to 0 by what of their square is noise."""
    size = np.abs(effect)
    noise = np.divide(se, size, out=np.ones_like(size), where=size > se)
    left: FloatArray = effect * (1.0 - noise**2)
    return left


def sure(effect: FloatArray, se: FloatArray) -> FloatArray:
    """Return effects in standard errors, drawn to 0 likewise."""
    z = effect / or_inf(se)
    return shrunk(z, np.ones_like(z))
