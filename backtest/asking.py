"""Between the compiled loop and the policy: askings out of records, answers into parameters.

Axes: K askings, S symbols, T bars, M different sets of parameters, P parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backtest.logs import Logs, World
from exits.parameters import INDEX, N_PARAMETERS
from exits.policy import Asked, ExitPolicy
from market.bars import Bars, FloatArray, TimeArray
from market.compiled import IndexArray

_RATE_P = INDEX["dynamic_strategy_adaptation_rate"]
_ATR_P = INDEX["current_atr"]


@dataclass(frozen=True, slots=True)
class Answered:
    """What one asking brought.

    Attributes
    ----------
    symbol_K : int64 array
    number_K : int64 array
        0 for an entry.
    values_KP : float64 array, shape (n_asked, 132)
        In force from now on.
    sources : tuple of str
    """

    symbol_K: IndexArray
    number_K: IndexArray
    values_KP: FloatArray
    sources: tuple[str, ...]


class Asking:
    """Asks a policy for all that ask at once, and writes its answers into a world.

    Parameters
    ----------
    world : World
    bars : sequence of Bars
        Of each symbol of the world.
    policy : ExitPolicy
    """

    def __init__(self, world: World, bars: Sequence[Bars], policy: ExitPolicy) -> None:
        self._policy = policy
        self._names = [one.symbol for one in bars]
        # Its own end where no next bar is known: the same time whether or not one follows.
        ends: dict[int, TimeArray] = {}
        for one in bars:
            if id(one) not in ends:
                ends[id(one)] = (one.start_T + one.length).astype("datetime64[us]")
        self._ends = [ends[id(one)] for one in bars]
        self._in_force_SP = world.parameters.view(np.float64).reshape(-1, N_PARAMETERS)
        self._states_KF = world.state.states_KF

    def answered(self, logs: Logs) -> Answered:
        """Ask for all in ``logs.asking``; their parameters are in force when this returns.

        Raises
        ------
        ValueError
            If the policy's answer is not finite.
        """
        rows = logs.asking[: int(logs.run[0]["n_asked"])]
        symbol_K, number_K = rows["symbol"].copy(), rows["number"].copy()
        # Copies: what is asked and answered may be kept, whatever becomes of the arrays.
        before_KP = self._in_force_SP[symbol_K]
        states = [None] * len(rows)
        if self._policy.reads_state:
            states = list(self._states_KF[: len(rows)].copy())
        asked = [
            Asked(
                symbol=self._names[symbol],
                number=number,
                bar=bar,
                time=self._ends[symbol][bar],
                side=side,
                atr=atr,
                r=r,
                in_force_P=before_P if number > 0 else None,
                confidence=confidence,
                state_F=state_F,
            )
            for (symbol, number, bar, side, atr, r, confidence), before_P, state_F in zip(
                rows.tolist(), before_KP, states, strict=True
            )
        ]
        decided = self._policy.decide(asked)
        if not np.isfinite(decided.values_KP).all():
            raise ValueError(f"exit policy {self._policy.name}: its answer is not finite")
        values_KP = np.array(decided.values_KP)
        if (number_K > 0).any():
            values_KP = _adapted(values_KP, self._in_force_SP[symbol_K], number_K)
        self._in_force_SP[symbol_K] = values_KP
        return Answered(symbol_K, number_K, values_KP, decided.sources)


def _adapted(values_KP: FloatArray, before_KP: FloatArray, number_K: IndexArray) -> FloatArray:
    """Go from the parameters in force as far to new ones as those in force say; the ATR at once."""
    adapted_KP = before_KP + before_KP[:, [_RATE_P]] * (values_KP - before_KP)
    adapted_KP[:, _ATR_P] = values_KP[:, _ATR_P]
    return np.where(number_K[:, None] > 0, adapted_KP, values_KP)


class ParameterSets:
    """The different parameters that were decided on, and by whom, in one growing array.

    Parameters
    ----------
    policy : ExitPolicy
        One that is asked begins without any.
    """

    def __init__(self, policy: ExitPolicy) -> None:
        self.sources: list[str] = []
        self._rows_MP = np.empty((0, N_PARAMETERS))
        if policy.fixed_P is not None:
            self.add(policy.fixed_P[None], (policy.name,))

    @property
    def values_MP(self) -> FloatArray:
        """All of them, in the order in which they came."""
        return self._rows_MP[: len(self.sources)]

    def keep(self, n_sets: int) -> None:
        """Forget what came after the first so many: the answers to entries that were dropped."""
        del self.sources[n_sets:]

    def add(self, values_KP: FloatArray, sources: Sequence[str]) -> int:
        """Take in more; return the place of the first of them."""
        first = len(self.sources)
        self.sources.extend(sources)
        if len(self.sources) > len(self._rows_MP):
            # Memory that is never written to costs nothing.
            grown_MP = np.empty((2 * len(self.sources), N_PARAMETERS))
            grown_MP[:first] = self._rows_MP[:first]
            self._rows_MP = grown_MP
        self._rows_MP[first : len(self.sources)] = values_KP
        return first
