"""What parameters did for the result, in which state, and how sure that is.

One trade says next to nothing of 132 parameters; all together say something of a few. Two questions
are asked of the deviations of parameters from what is usual in a state:

- What is more patience worth, with losses, profits, targets and time (`exits.patience`), in which
  state? A dozen parameters each are asked together, so that a few thousand trades can answer.
- Which parameter has an effect of its own beyond that? Kept is what stands out among all
  parameters and states at a false discovery rate (Benjamini, Hochberg, Journal of the Royal
  Statistical Society B 57, 1995).

Standard errors are clustered by signal: trades of one signal share their path of prices.

Axes: N decisions, P the 132 parameters, J state summaries (the first is 1), B kinds of patience,
Q their products, C clusters.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from exits.clusters import Clusters
from exits.parameters import IMMEDIATE, INDEX, N_PARAMETERS, PARAMETERS
from exits.patience import DIRECTION_BP, KINDS, levels
from exits.significance import adjusted, or_inf, p_values, sure
from market.bars import FloatArray
from market.compiled import BoolArray, IndexArray

ACTION_LEVEL, PERMISSION_LEVEL = 0.7, 0.5
# They decide on entries too, and an entry that is not made leaves no experience to learn from.
DECIDES_ENTRIES: Final = frozenset(
    {
        "sideways_avoid_new_entry",
        "sideways_detection_bars",
        "sideways_detection_range_pct",
        "consecutive_losses_max",
        "daily_loss_limit_exit_threshold_pct",
        "overnight_gap_protection_exit",
        "pre_market_close_exit_minutes",
    }
)
_RIDGE: Final = 0.01
_LEAST_SPREAD: Final = 1e-4
_FAR: Final = 6.0
_MOST_LEVERAGE: Final = 0.95

_KIND_P = np.array([parameter.kind for parameter in PARAMETERS])
_ACTS_P = np.isin([parameter.name for parameter in PARAMETERS], list(IMMEDIATE))
_SWITCH_P = _ACTS_P | np.isin(_KIND_P, ("flag", "decision"))
_LEVEL_P = np.where(_ACTS_P, ACTION_LEVEL, PERMISSION_LEVEL)


def _has_name(names: frozenset[str]) -> BoolArray:
    mask_P = np.zeros(N_PARAMETERS, bool)
    mask_P[[INDEX[name] for name in names]] = True
    return mask_P


DECIDES_ENTRIES_P: Final = _has_name(DECIDES_ENTRIES)


def as_acted(unit_NP: FloatArray) -> FloatArray:
    """Return parameters in [0, 1] as rules see them: flags and decisions are on or off."""
    acted_NP: FloatArray = np.where(_SWITCH_P, unit_NP > _LEVEL_P, unit_NP)
    return acted_NP


@dataclass(frozen=True, slots=True, kw_only=True)
class Critic:
    """Effects of parameters on the advantage, for one kind of decision.

    Attributes
    ----------
    phi_mean_J, phi_spread_J : float64 arrays
        What summaries are standardised by.
    usual_JP : float64 array
        Parameters that are usual in a state, by its standardised summaries.
    spread_P : float64 array
        Standard deviation from that; 0 where nothing was tried.
    level_spread_B : float64 array
        Standard deviation of patience; 0 where it was not varied.
    worth_BJ : float64 array
        What one standard deviation of each patience is worth in R by state.
    worth_QQ : float64 array
        Covariance of these, flattened.
    worth_p_value_B : float64 array
        That a kind of patience is worth nothing in any state, adjusted for the number of kinds.
    direct_PJ, direct_PJJ : float64 arrays
        Effect of one standard deviation beyond that by state, 0 where it does not stand out, and
        its covariance.
    direct_p_value_P : float64 array
        That there is none in any state, adjusted for the number of parameters.
    """

    phi_mean_J: FloatArray
    phi_spread_J: FloatArray
    usual_JP: FloatArray
    spread_P: FloatArray
    level_spread_B: FloatArray
    worth_BJ: FloatArray
    worth_QQ: FloatArray
    worth_p_value_B: FloatArray
    direct_PJ: FloatArray
    direct_PJJ: FloatArray
    direct_p_value_P: FloatArray

    @classmethod
    def fit(
        cls,
        unit_NP: FloatArray,
        advantage_N: FloatArray,
        phi_NJ: FloatArray,
        cluster_N: IndexArray,
        *,
        false_discovery_rate: float,
    ) -> Self:
        """Fit to training rows.

        Parameters
        ----------
        unit_NP : float64 array, shape (n_rows, 132)
            Decided parameters in [0, 1].
        advantage_N : float64 array
            In R.
        phi_NJ : float64 array
            State summaries.
        cluster_N : int64 array
            Rows of one number are dependent.
        false_discovery_rate : float
        """
        mean_J, spread_J = phi_NJ.mean(axis=0), phi_NJ.std(axis=0)
        spread_J = np.where(spread_J > _LEAST_SPREAD, spread_J, np.inf)
        state_NJ = _standardised(phi_NJ, mean_J, spread_J)
        acted_NP = as_acted(unit_NP)
        usual_JP = _usual(state_NJ, acted_NP)
        deviation_NP = acted_NP - state_NJ @ usual_JP
        spread_P = deviation_NP.std(axis=0)
        spread_P[(spread_P < _LEAST_SPREAD) | DECIDES_ENTRIES_P] = 0.0
        deviation_NP[:, spread_P == 0] = 0.0
        by_cluster = Clusters(cluster_N)
        level_NB = levels(deviation_NP)
        level_spread_B = level_NB.std(axis=0)
        level_spread_B[level_spread_B < _LEAST_SPREAD] = 0.0
        level_NB /= np.where(level_spread_B > 0, level_spread_B, np.inf)
        deviation_NP /= np.where(spread_P > 0, spread_P, np.inf)
        worth_BJ, worth_QQ, rest_N = _worth_of_patience(level_NB, advantage_N, state_NJ, by_cluster)
        direct_PJ, direct_PJJ = _direct_effects(deviation_NP, rest_N, state_NJ, by_cluster)
        p_PJ = p_values(direct_PJ, np.sqrt(np.einsum("pjj->pj", direct_PJJ)))
        direct_p_P = np.ones(len(p_PJ))
        direct_p_P[spread_P > 0] = adjusted(_of_many(p_PJ[spread_P > 0]))
        kept_PJ = p_PJ * p_PJ.shape[1] <= false_discovery_rate
        kept_PJ &= (direct_p_P <= false_discovery_rate)[:, None]
        worth_se_BJ = np.sqrt(np.diag(worth_QQ)).reshape(worth_BJ.shape)
        worth_p_B = adjusted(_of_many(p_values(worth_BJ, worth_se_BJ)))
        return cls(
            phi_mean_J=mean_J,
            phi_spread_J=spread_J,
            usual_JP=usual_JP,
            spread_P=spread_P,
            level_spread_B=level_spread_B,
            worth_BJ=worth_BJ,
            worth_QQ=worth_QQ,
            worth_p_value_B=worth_p_B,
            direct_PJ=np.where(kept_PJ, direct_PJ, 0.0),
            direct_PJJ=direct_PJJ * kept_PJ[:, :, None] * kept_PJ[:, None, :],
            direct_p_value_P=direct_p_P,
        )

    def state(self, phi_NJ: FloatArray) -> FloatArray:
        """Return standardised summaries, a column of ones before them."""
        return _standardised(phi_NJ, self.phi_mean_J, self.phi_spread_J)

    def deviation(self, unit_NP: FloatArray, state_NJ: FloatArray) -> FloatArray:
        """Return how far parameters are from the usual ones, in standard deviations."""
        apart_NP = self._apart(unit_NP, state_NJ) / or_inf(self.spread_P)
        return np.clip(apart_NP, -_FAR, _FAR)

    def exponents(self, unit_NP: FloatArray, state_NJ: FloatArray) -> FloatArray:
        """Return how much speaks for decided parameters, in standard errors x deviations.

        Effects are drawn to 0 by their noise, so that what is not known to matter gives 0.

        Returns
        -------
        float64 array, shape (n_rows, 132)
        """
        apart_NP = self._apart(unit_NP, state_NJ)
        level_NB = levels(apart_NP) / or_inf(self.level_spread_B)
        together_NB = np.clip(level_NB, -_FAR, _FAR) * sure(*self._patience(state_NJ))
        alone_NP = self.deviation(unit_NP, state_NJ) * sure(*self._alone(state_NJ))
        exponent_NP: FloatArray = together_NB @ np.abs(DIRECTION_BP) + alone_NP
        return exponent_NP

    def effect(self, state_NJ: FloatArray) -> FloatArray:
        """Return what one standard deviation of each parameter, or of its patience, is worth in R.

        Of the two the larger one; shape (n_rows, 132).
        """
        together_NP = self._patience(state_NJ)[0] @ np.abs(DIRECTION_BP)
        alone_NP = self._alone(state_NJ)[0]
        larger_NP = np.where(np.abs(together_NP) > np.abs(alone_NP), together_NP, alone_NP)
        return np.where(self.spread_P > 0, larger_NP, 0.0)

    def p_values(self) -> FloatArray:
        """Return for each parameter that it does nothing: with its like, or alone."""
        together_P = np.ones(N_PARAMETERS)
        for b in range(len(KINDS)):
            together_P[DIRECTION_BP[b] != 0.0] = self.worth_p_value_B[b]
        either_P = np.minimum(together_P, self.direct_p_value_P)
        return np.where(self.spread_P > 0, either_P, 1.0)

    def _apart(self, unit_NP: FloatArray, state_NJ: FloatArray) -> FloatArray:
        apart_NP: FloatArray = as_acted(unit_NP) - state_NJ @ self.usual_JP
        apart_NP[:, self.spread_P == 0] = 0.0
        return apart_NP

    def _patience(self, state_NJ: FloatArray) -> tuple[FloatArray, FloatArray]:
        worth_NB = state_NJ @ self.worth_BJ.T
        n_terms = state_NJ.shape[1]
        se_NB = np.empty_like(worth_NB)
        for b in range(len(KINDS)):
            of_b = slice(b * n_terms, (b + 1) * n_terms)
            se_NB[:, b] = _spread(state_NJ, self.worth_QQ[of_b, of_b])
        return worth_NB, se_NB

    def _alone(self, state_NJ: FloatArray) -> tuple[FloatArray, FloatArray]:
        effect_NP, se_NP = (np.zeros((len(state_NJ), N_PARAMETERS)) for _ in range(2))
        for p in np.flatnonzero(self.direct_PJ.any(axis=1)):
            effect_NP[:, p] = state_NJ @ self.direct_PJ[p]
            se_NP[:, p] = _spread(state_NJ, self.direct_PJJ[p])
        return effect_NP, se_NP


def _spread(state_NJ: FloatArray, covariance_JJ: FloatArray) -> FloatArray:
    """Return the standard error of each state's effect."""
    variance_N = ((state_NJ @ covariance_JJ) * state_NJ).sum(axis=1)
    se_N: FloatArray = np.sqrt(np.maximum(variance_N, 0.0))
    return se_N


def _standardised(phi_NJ: FloatArray, mean_J: FloatArray, spread_J: FloatArray) -> FloatArray:
    ones_N1 = np.ones((len(phi_NJ), 1))
    state_NJ: FloatArray = np.concatenate([ones_N1, (phi_NJ - mean_J) / spread_J], axis=1)
    return state_NJ


def _usual(state_NJ: FloatArray, acted_NP: FloatArray) -> FloatArray:
    n_rows, n_terms = state_NJ.shape
    penalty_JJ = _RIDGE * n_rows * np.eye(n_terms)
    penalty_JJ[0, 0] = 0.0
    usual_JP: FloatArray = np.linalg.solve(
        state_NJ.T @ state_NJ + penalty_JJ, state_NJ.T @ acted_NP
    )
    return usual_JP


def _worth_of_patience(
    level_NB: FloatArray, advantage_N: FloatArray, state_NJ: FloatArray, clusters: Clusters
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Regress the advantage on patience by state; return worth, its covariance, the rest."""
    n_rows, n_terms = state_NJ.shape
    term_NQ = (level_NB[:, :, None] * state_NJ[:, None, :]).reshape(n_rows, -1)
    size_Q = np.sqrt((term_NQ**2).mean(axis=0))
    term_NQ /= or_inf(size_Q)
    penalty_QQ = _RIDGE * n_rows * np.eye(len(size_Q))
    inverse_QQ = np.linalg.inv(term_NQ.T @ term_NQ + penalty_QQ)
    worth_Q = inverse_QQ @ (term_NQ.T @ advantage_N)
    rest_N = advantage_N - term_NQ @ worth_Q
    # The fit follows each cluster by its leverage; where clusters are few, what is left would look
    # much too small (Bell, McCaffrey, Survey Methodology 28, 2002). The sum over a cluster's rows
    # is that of clusters of equal rows, and no less for others.
    leverage_C = clusters.sums(((term_NQ @ inverse_QQ) * term_NQ).sum(axis=1))
    followed_C = np.clip(leverage_C, 0.0, _MOST_LEVERAGE)
    score_CQ = clusters.sums(term_NQ * rest_N[:, None]) / (1.0 - followed_C)[:, None]
    scale_Q = 1.0 / or_inf(size_Q)
    covariance_QQ = inverse_QQ @ (score_CQ.T @ score_CQ) @ inverse_QQ * np.outer(scale_Q, scale_Q)
    return (worth_Q * scale_Q).reshape(len(KINDS), n_terms), covariance_QQ, rest_N


def _direct_effects(
    deviation_NP: FloatArray, rest_N: FloatArray, state_NJ: FloatArray, clusters: Clusters
) -> tuple[FloatArray, FloatArray]:
    """Return effects by state and their covariances, shape (132, J) and (132, J, J).

    A regression of the rest on each parameter's deviation by state; deviations hardly hang on the
    state, so that one matrix of the states does for all.
    """
    n_rows, n_terms = state_NJ.shape
    states_JJ = state_NJ.T @ state_NJ / n_rows + _RIDGE * np.eye(n_terms)
    inverse_JJ = np.linalg.inv(states_JJ) / n_rows
    effect_PJ = np.zeros((deviation_NP.shape[1], n_terms))
    covariance_PJJ = np.zeros((*effect_PJ.shape, n_terms))
    rest_NJ = rest_N[:, None] * state_NJ
    for p in np.flatnonzero(deviation_NP.any(axis=0)):
        score_CJ = clusters.sums(deviation_NP[:, p, None] * rest_NJ) @ inverse_JJ
        effect_PJ[p] = score_CJ.sum(axis=0)
        covariance_PJJ[p] = score_CJ.T @ score_CJ
    return effect_PJ, covariance_PJJ


def _of_many(p_XJ: FloatArray) -> FloatArray:
    """Return one p value for each row of several: that none of them holds (Bonferroni)."""
    least_X: FloatArray = np.minimum(p_XJ.min(axis=1) * p_XJ.shape[1], 1.0)
    return least_X
