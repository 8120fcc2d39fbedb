"""Parameters varied at random, so that there is something to learn from.

Axes: K decisions, P the 132 parameters.
"""

import hashlib
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from exits.parameters import IMMEDIATE, PARAMETERS, ExitParameter, denormalize, normalize
from exits.patience import KINDS, moved
from exits.policy import ATR_P, Asked, Decided, Defaults, ExitPolicy
from market.bars import FloatArray

ACTION_SHARE: Final = 0.05

_ACTION_P = np.array([parameter.name in IMMEDIATE for parameter in PARAMETERS])


class Exploring:
    """Parameters varied at every decision, so that trades differ in what they can teach.

    Of the parameters that the base decides, a share of ``vary`` is drawn anew at each decision:
    evenly from the base, as a share of the range, plus and minus ``explore`` (of an integer at
    least one step), and clipped to the range; `current_atr` from the measured ATR divided and
    multiplied by 1 + ``explore``. An immediate action is taken outright at a share of
    `ACTION_SHARE` x ``explore`` of the decisions: nothing less would show what it does, and much
    more would leave no trade to learn the rest from. In a share of ``together`` of the decisions
    all parameters of one kind of patience (`exits.patience`) move by one draw, up to ``explore`` of
    the way to their ends; each kind has a draw of its own. What is drawn hangs on seed, symbol,
    time and number of the decision alone: not on other symbols, and not on how many bars there are.

    Parameters
    ----------
    explore : float
        In (0, 1].
    vary : float
        In (0, 1]: few at a time tell their effects apart sooner than all at once.
    together : float
        In [0, 1].
    seed : int
    draw : int
        Of several with one seed.
    base : ExitPolicy or None
        What is varied; None: the defaults.
    fixed : collection of str
        Parameters that stay as the base says.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    name = "exploration"
    fixed_P: FloatArray | None = None

    def __init__(
        self,
        *,
        explore: float,
        vary: float = 1.0,
        together: float = 0.0,
        seed: int,
        draw: int = 0,
        base: ExitPolicy | None = None,
        fixed: Collection[str] = (),
    ) -> None:
        for name, value in (("explore", explore), ("vary", vary)):
            if not 0.0 < value <= 1.0:
                raise ValueError(f"{name} must be in (0, 1], was {value}")
        if not 0.0 <= together <= 1.0:
            raise ValueError(f"together must be in [0, 1], was {together}")
        self.explore, self.vary, self.together = explore, vary, together
        self.seed, self.draw = seed, draw
        self.base: ExitPolicy = base or Defaults()
        self.reads_state = self.base.reads_state
        often_P = np.where(_ACTION_P, ACTION_SHARE * explore, vary)
        self._often_P = np.where([one.name in fixed for one in PARAMETERS], 0.0, often_P)
        self._reach_P = np.array([_reach(one, explore) for one in PARAMETERS])

    def decide(self, asked: Sequence[Asked]) -> Decided:
        """Return parameters drawn for each of the askings."""
        base_KP = self.base.decide(asked).values_KP
        atr_K = np.array([one.atr for one in asked])
        unit_KP = normalize(base_KP, atr_bounds=(0.5 * atr_K, 2.0 * atr_K))
        drawn_KP, varied_KP = self._drawn(unit_KP, asked)
        values_KP = denormalize(drawn_KP, atr_bounds=(0.5 * atr_K, 2.0 * atr_K))
        # What is not varied is the base's to the last bit.
        values_KP = np.where(varied_KP, values_KP, base_KP)
        return Decided(values_KP, (self.name,) * len(asked))

    def _drawn(
        self, unit_KP: FloatArray, asked: Sequence[Asked]
    ) -> tuple[FloatArray, np.ndarray[tuple[int, int], np.dtype[np.bool_]]]:
        draw_2KX = np.array([self._draws(one) for one in asked]).swapaxes(0, 1)
        signed_KX, chance_KX = 2.0 * draw_2KX[0] - 1.0, draw_2KX[1]
        signed_KP, signed_KB = signed_KX[:, : len(PARAMETERS)], signed_KX[:, len(PARAMETERS) :]
        chosen_KB = chance_KX[:, len(PARAMETERS) :] < self.together
        moved_KP = moved(unit_KP, np.where(chosen_KB, self.explore * signed_KB, 0.0))
        moved_KP = np.where(self._often_P > 0.0, moved_KP, unit_KP)
        drawn_KP = np.clip(moved_KP + self._reach_P * signed_KP, 0.0, 1.0)
        # Of [0, 1] between half and twice the measured ATR, that is log2 of the ratio.
        ratio_K = (1.0 + self.explore) ** signed_KP[:, ATR_P]
        drawn_KP[:, ATR_P] = (ratio_K - 0.5) / 1.5
        drawn_KP[:, _ACTION_P] = 1.0
        varied_KP = chance_KX[:, : len(PARAMETERS)] < self._often_P
        drawn_KP = np.where(varied_KP, drawn_KP, moved_KP)
        return drawn_KP, varied_KP | (moved_KP != unit_KP)

    def _draws(self, one: Asked) -> FloatArray:
        moment = f"{one.symbol} {one.time.astype(np.int64)} {one.number}"
        place = f"{self.seed} {self.draw} {moment}".encode()
        key = int.from_bytes(hashlib.sha256(place).digest()[:16])
        return np.random.Generator(np.random.Philox(key=key)).random(
            (2, len(PARAMETERS) + len(KINDS))
        )


def _reach(parameter: ExitParameter, explore: float) -> float:
    """Return how far a parameter is varied, as a share of its range."""
    if parameter.kind != "integer":
        return explore
    return max(explore, 1.0 / (parameter.high - parameter.low))
