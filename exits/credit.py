"""What each decision's parameters weigh when the net learns from them.

Axes: N decisions, P the 132 parameters.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from exits import advantage
from exits.critic import DECIDES_ENTRIES_P, Critic
from exits.decision_rows import DecisionRows
from exits.parameters import N_PARAMETERS, PARAMETERS
from exits.patience import KINDS
from exits.state_summary import state_summaries
from market.bars import FloatArray
from market.compiled import BoolArray

# Of signals, for a critic of a kind of decisions.
FEWEST_SIGNALS: Final = 30
# Two kinds of decisions, and with its like or alone: so often may chance speak for a parameter.
_CHANCES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Credited:
    """Weights of decided parameters, and what they rest on.

    Attributes
    ----------
    weight_NP : float64 array, shape (n_rows, 132)
        Above 0.
    effect_P : float64 array
        What one standard deviation of a parameter is worth in R: root of the mean square over
        states.
    p_value_P : float64 array, or None
        That it does nothing; None where the error of the net has to tell.
    why : tuple of str
        By parameter, what speaks for it or against it; empty where the error has to tell.
    """

    weight_NP: FloatArray
    effect_P: FloatArray
    p_value_P: FloatArray | None
    why: tuple[str, ...]


def by_trade(
    rows: DecisionRows,
    unit_NP: FloatArray,
    train_N: BoolArray,
    *,
    temperature: float,
    most_weight: float,
) -> Credited:
    """Weigh all parameters of a decision alike, by how its trade ended.

    Parameters
    ----------
    unit_NP : float64 array, shape (n_rows, 132)
        Decided parameters in [0, 1].
    train_N : bool array
        Rows that anything is fitted to.
    temperature : float
        In standard deviations of the training trades' advantage.
    most_weight : float
    """
    advantage_N = advantage.of_trades(rows, train_N)
    spread = float(advantage_N[train_N].std()) or 1.0
    most = np.log(most_weight)
    weight_N = np.exp(np.clip(advantage_N / (temperature * spread), -most, most))
    apart_NP = unit_NP[train_N] - unit_NP[train_N].mean(axis=0)
    spread_P = np.maximum(apart_NP.std(axis=0), 1e-12)
    effect_P = np.abs(apart_NP.T @ advantage_N[train_N]) / (train_N.sum() * spread_P)
    weight_NP = np.repeat(weight_N[:, None], N_PARAMETERS, axis=1)
    return Credited(weight_NP=weight_NP, effect_P=effect_P, p_value_P=None, why=())


def by_decision(
    rows: DecisionRows,
    unit_NP: FloatArray,
    train_N: BoolArray,
    *,
    temperature: float,
    most_weight: float,
    false_discovery_rate: float,
) -> Credited:
    """Weigh each parameter of a decision by its own effect in that state.

    Entries and later decisions have a critic each. Effects are drawn to 0 by their noise, so that
    what is not known to matter keeps the weight 1.

    Parameters
    ----------
    unit_NP : float64 array, shape (n_rows, 132)
        Decided parameters in [0, 1].
    train_N : bool array
        Rows that anything is fitted to.
    temperature : float
        In standard errors of the effect.
    most_weight : float
    false_discovery_rate : float
    """
    phi_NJ = state_summaries(rows.x_NF)
    is_entry_N = rows.number_N == 0
    signal_N, advantage_N = advantage.signals(rows), _advantage(rows, phi_NJ, train_N)
    weight_NP = np.ones(unit_NP.shape)
    square_P, p_value_P = np.zeros(N_PARAMETERS), np.ones(N_PARAMETERS)
    critics = []
    for kind_N in (is_entry_N, ~is_entry_N):
        fit_N = kind_N & train_N
        if len(np.unique(signal_N[fit_N])) < FEWEST_SIGNALS:
            continue
        critic = Critic.fit(
            unit_NP[fit_N],
            advantage_N[fit_N],
            phi_NJ[fit_N],
            signal_N[fit_N],
            false_discovery_rate=false_discovery_rate / _CHANCES,
        )
        state_NJ = critic.state(phi_NJ[kind_N])
        exponent_NP = critic.exponents(unit_NP[kind_N], state_NJ) / temperature
        most = np.log(most_weight)
        weight_NP[kind_N] = np.exp(np.clip(exponent_NP, -most, most))
        square_P += (critic.effect(state_NJ[train_N[kind_N]]) ** 2).sum(axis=0)
        p_value_P = np.minimum(p_value_P, np.minimum(_CHANCES * critic.p_values(), 1.0))
        critics.append(critic)
    return Credited(
        weight_NP=weight_NP,
        effect_P=np.sqrt(square_P / max(int(train_N.sum()), 1)),
        p_value_P=p_value_P,
        why=tuple(
            _why(critics, p, p_value_P[p], false_discovery_rate / _CHANCES)
            for p in range(N_PARAMETERS)
        ),
    )


def _advantage(rows: DecisionRows, phi_NJ: FloatArray, train_N: BoolArray) -> FloatArray:
    is_entry_N = rows.number_N == 0
    to_come_N = advantage.still_to_come(rows)
    baseline = advantage.Baseline.fit(to_come_N[train_N], phi_NJ[train_N], is_entry_N[train_N])
    # Training rows are compared with each other alone: what else was decided at their moments may
    # have ended later than anything that is learnt from.
    moment_N = 2 * advantage.moments(rows) + train_N
    return baseline.residual(to_come_N, phi_NJ, is_entry_N, moment_N)


def _why(critics: list[Critic], p: int, p_value: float, rate: float) -> str:
    if DECIDES_ENTRIES_P[p]:
        return "decides on entries too, and an entry that is not made leaves no experience"
    if not any(critic.spread_P[p] > 0 for critic in critics):
        return "was never varied"
    kind = PARAMETERS[p].patience
    found = []
    if kind and any(one.worth_p_value_B[KINDS.index(kind)] <= rate for one in critics):
        found.append(f"together with what is patient with {kind}")
    if any(one.direct_PJ[p].any() for one in critics):
        found.append("by itself")
    if not found:
        return f"no effect stands out (p = {p_value:.2g})"
    return f"works {' and '.join(found)} (p = {p_value:.2g})"
