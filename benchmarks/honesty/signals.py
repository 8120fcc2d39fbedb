"""A known dependence of labels on features, scaled to a stated attainable accuracy.

Axes: N rows, F features, L columns of the linear part, D independent draws.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Literal

import numpy as np

from benchmarks.honesty.columns import PERSISTENT_NUMBERS, WHITE_NUMBERS
from market.bars import FloatArray

Link = Literal["logit", "probit"]

# Three persistent and two white columns, in an order drawn per symbol.
LINEAR_WEIGHTS_L = np.array([1.0, 0.8, 0.6, 0.5, 0.4])
# Together a fifth of the score's variance.
STEP_WEIGHT = 0.55
PRODUCT_WEIGHT = 0.55
N_LINEAR_PERSISTENT = 3
# Rows that the scale is solved on: the attainable accuracy is then right to 0.0003.
N_SOLVED_ON = 400_000


def score(rng: np.random.Generator, x_NF: FloatArray) -> FloatArray:
    """Return each row's score, which is all that its label knows of its features.

    A linear part in five columns, and, with a fifth of the variance, a step in a sixth and the
    product of two others. Which columns and which signs is drawn: no two symbols share a signal.

    Parameters
    ----------
    rng : numpy.random.Generator
    x_NF : float64 array, shape (n_rows, 57)
        As `feature_columns` makes them.

    Returns
    -------
    float64 array, shape (n_rows,)
        Of mean 0; the distribution does not depend on what was drawn.
    """
    persistent = rng.choice(PERSISTENT_NUMBERS, N_LINEAR_PERSISTENT + 1, replace=False)
    white = rng.choice(WHITE_NUMBERS, 4, replace=False)
    *linear, step = persistent
    sign_F = rng.choice([-1.0, 1.0], x_NF.shape[1])
    signed_NF = x_NF * sign_F
    linear_L = [*linear, *white[:2]]
    return _combined(
        signed_NF[:, linear_L] @ rng.permutation(LINEAR_WEIGHTS_L),
        signed_NF[:, step],
        signed_NF[:, white[2]] * x_NF[:, white[3]],
    )


def win_probability(score_N: FloatArray, *, bayes_accuracy: float, link: Link) -> FloatArray:
    """Return the probability of winning at each score.

    The mean of max(p, 1 - p) over the distribution of scores is ``bayes_accuracy``, in (0.5, 1).
    """
    return _linked(link)(scale(bayes_accuracy, link) * score_N)


@cache
def scale(bayes_accuracy: float, link: Link) -> float:
    """Solve for what scores are multiplied by to make an accuracy in (0.5, 1) attainable."""
    from scipy.optimize import brentq

    if not 0.5 < bayes_accuracy < 0.95:
        raise ValueError(f"bayes_accuracy must be in (0.5, 0.95), was {bayes_accuracy}")
    z_ND = np.random.default_rng(0).standard_normal((N_SOLVED_ON, 4))
    linear_N = z_ND[:, 0] * np.linalg.norm(LINEAR_WEIGHTS_L)
    score_N = _combined(linear_N, z_ND[:, 1], z_ND[:, 2] * z_ND[:, 3])
    return float(brentq(partial(_excess, score_N, bayes_accuracy, link), 1e-3, 50.0, xtol=1e-5))


def attainable_accuracy(p_N: FloatArray) -> float:
    """Return the expected accuracy of who knows each row's probability of winning."""
    return float(np.maximum(p_N, 1 - p_N).mean())


def _combined(linear_N: FloatArray, step_N: FloatArray, product_N: FloatArray) -> FloatArray:
    score_N: FloatArray = linear_N + STEP_WEIGHT * np.sign(step_N) + PRODUCT_WEIGHT * product_N
    return score_N


def _excess(score_N: FloatArray, bayes_accuracy: float, link: Link, factor: float) -> float:
    return attainable_accuracy(_linked(link)(factor * score_N)) - bayes_accuracy


def _linked(link: Link) -> Callable[[FloatArray], FloatArray]:
    from scipy.special import expit, ndtr

    functions: dict[Link, Callable[[FloatArray], FloatArray]] = {"logit": expit, "probit": ndtr}
    return functions[link]
