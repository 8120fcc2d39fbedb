"""The policy ladder: one rung answers, the next is asked where it cannot, and nothing is silent.

Axes: K askings, P the 132 parameters.
"""

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np

from exits.exit_model import ExitModel
from exits.parameters import INDEX, defaults, override
from exits.policy import Asked, Decided
from market.bars import FloatArray

REMOTE, LOCAL, SIMPLE, DEFAULTS = (
    "remote_service",
    "local_neural_network",
    "simple_learning",
    "defaults",
)
NOT_FINITE = "its answer is not finite"

_log = logging.getLogger(__name__)


class LadderError(RuntimeError):
    """The rung that had to answer did not; one line naming why, and how to go on."""


class CannotAnswer(Exception):  # noqa: N818 - no error: the next rung is asked
    """A rung has no answer; the message is why, the same whenever the cause is the same."""


class Rung(Protocol):
    """One way to decide.

    Attributes
    ----------
    name : str
        What records call it.
    gap : str
        Why some of its rows may hold no answer.
    """

    name: str
    gap: str

    def answer(self, asked: Sequence[Asked]) -> FloatArray:
        """Return parameters in real units, shape (K, 132); NaN in rows that it has none for.

        Raises
        ------
        CannotAnswer
            If it has none for any.
        """
        ...


class Unavailable:
    """A rung that could not be built.

    Parameters
    ----------
    name : str
    why : str
        What stands in its way, in one line.
    """

    gap = NOT_FINITE

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why

    def answer(self, asked: Sequence[Asked]) -> FloatArray:
        """Raise CannotAnswer with what stands in its way."""
        del asked
        raise CannotAnswer(self.why)


class LocalNeuralNetwork:
    """An exit model in this process.

    Parameters
    ----------
    model : ExitModel

    Raises
    ------
    ValueError
        If the model was shown the outcome of its trades.
    """

    name = LOCAL
    gap = NOT_FINITE

    def __init__(self, model: ExitModel) -> None:
        if model.hindsight:
            raise ValueError("a model with hindsight has seen how its trades ended, cannot trade")
        self.model = model

    def answer(self, asked: Sequence[Asked]) -> FloatArray:
        """Ask the net, for all at once."""
        x_KF = np.array([one.state_F for one in asked], np.float64)
        return self.model.decide(x_KF, np.array([one.atr for one in asked]))


class TableDefaults:
    """The table's defaults, with the ATR measured at each decision: it always answers."""

    name = DEFAULTS
    gap = NOT_FINITE

    def answer(self, asked: Sequence[Asked]) -> FloatArray:
        """Return the same for all but for the ATR."""
        values_KP = np.tile(defaults(1.0), (len(asked), 1))
        values_KP[:, INDEX["current_atr"]] = [one.atr for one in asked]
        return values_KP


class Ladder:
    """An exit policy of several rungs.

    Every fall from one to the next is counted by its cause, and the first of each cause logged.

    Parameters
    ----------
    rungs : sequence of Rung
        In the order in which they are asked; the last one should always answer.
    require : str or None
        Name of a rung that must answer whatever those above it leave over.
    parameters : mapping or None
        Name to value in real units: these hold whatever a rung says.

    Raises
    ------
    LadderError
        If the required rung could not be built.
    ParameterError
        If a parameter is unknown or its value out of its range.
    ValueError
        If there is no rung, or none of the required name.
    """

    name = "ladder"
    fixed_P: FloatArray | None = None
    reads_state = True

    def __init__(
        self,
        rungs: Sequence[Rung],
        *,
        require: str | None = None,
        parameters: Mapping[str, float] | None = None,
    ) -> None:
        self._rungs = tuple(rungs)
        self._require = require
        self._given = dict(parameters or {})
        override(defaults(1.0), self._given)
        self._falls: dict[str, int] = {}
        names = [rung.name for rung in self._rungs]
        if not names or (require is not None and require not in names):
            raise ValueError(
                f"require must be one of {', '.join(names) or 'some rungs'}, was {require}"
            )
        for rung in self._rungs:
            if rung.name == require and isinstance(rung, Unavailable):
                raise self._refusal(rung.why)

    @property
    def falls(self) -> Mapping[str, int]:
        """Decisions that a rung could not make, by ``<rung>: <cause>``."""
        return MappingProxyType(self._falls)

    def decide(self, asked: Sequence[Asked]) -> Decided:
        """Return the parameters for each of the askings, and the rung that decided it.

        A rung is asked for those alone that none above it has answered.

        Raises
        ------
        LadderError
            If the required rung falls, or there is none left to ask.
        """
        if not asked:
            return Decided(np.empty((0, len(INDEX))), ())
        answered_KP = self._answered(0, asked)
        if answered_KP is not None and np.isfinite(answered_KP).all():
            sources = (self._rungs[0].name,) * len(asked)
            return Decided(self._with_given(answered_KP), sources)
        return self._further(asked, answered_KP)

    def _further(self, asked: Sequence[Asked], first_KP: FloatArray | None) -> Decided:
        """Return the answers of several rungs; the first has been asked."""
        values_KP = np.empty((len(asked), len(INDEX)))
        sources = [""] * len(asked)
        left_K, answered_KP = np.arange(len(asked)), first_KP
        for place, rung in enumerate(self._rungs):
            if place:
                answered_KP = self._answered(place, [asked[int(k)] for k in left_K])
            if answered_KP is None:
                continue
            has_K = np.isfinite(answered_KP).all(axis=1)
            values_KP[left_K[has_K]] = answered_KP[has_K]
            for k in left_K[has_K]:
                sources[k] = rung.name
            left_K = left_K[~has_K]
            if not len(left_K):
                return Decided(self._with_given(values_KP), tuple(sources))
            self._fall(place, rung.gap, len(left_K))
        raise LadderError("no rung has an answer; end the ladder with defaults")

    def _answered(self, place: int, asked: Sequence[Asked]) -> FloatArray | None:
        """Return what a rung answers; None, and the fall counted, where it cannot."""
        try:
            return self._rungs[place].answer(asked)
        except CannotAnswer as cause:
            self._fall(place, str(cause), len(asked))
            return None

    def _fall(self, place: int, cause: str, count: int) -> None:
        rung = self._rungs[place]
        if rung.name == self._require:
            raise self._refusal(cause)
        key = f"{rung.name}: {cause}"
        if key not in self._falls:
            following = self._rungs[place + 1].name if place + 1 < len(self._rungs) else "nothing"
            _log.warning("exits fall from %s to %s: %s", rung.name, following, cause)
        self._falls[key] = self._falls.get(key, 0) + count

    def _refusal(self, cause: str) -> LadderError:
        return LadderError(
            f"exits.require={self._require}, and it has no answer: {cause}; mend that, or go on "
            "with the next rung by exits.require=null"
        )

    def _with_given(self, values_KP: FloatArray) -> FloatArray:
        return override(values_KP, self._given) if self._given else values_KP
