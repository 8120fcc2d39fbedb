"""The calibration of a deployed model that a manifest adds to it, fitted on live outcomes.

The model and its files stay as they are. What it says becomes log-odds again, and a monotone map
makes of these the probability that later outcomes speak for.

Axes: N rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from market.bars import FloatArray
from models.calibration import Calibration
from selection.deployed_files import DeploymentError
from selection.metrics import log_odds

Scope = Literal["model", "pooled"]

LIVE_CALIBRATION = "live_calibration"
# Of a manifest's entry, what `Calibration.from_json` reads.
_NUMBERS = ("kind", "slope", "intercept", "log_odds_K", "p_K")


@dataclass(frozen=True, slots=True)
class LiveCalibration:
    """A map of what a model says to what is acted on, and which outcomes it has read.

    Attributes
    ----------
    map : Calibration
        From the log-odds of the model's own probability.
    scope : "model" or "pooled"
        Whose outcomes it was fitted on: the model's own, or those of several symbols together.
    fitted_until : datetime64[us]
        When the last outcome was known that it has read, UTC: it speaks for decisions from then on.
    """

    map: Calibration
    scope: Scope
    fitted_until: np.datetime64

    def __call__(self, p_N: FloatArray) -> FloatArray:
        """Return the calibrated probability of each of the model's own."""
        return self.map(log_odds(p_N))

    def since_fitted(self, t0_N: npt.NDArray[np.datetime64], p_N: FloatArray) -> FloatArray:
        """Return what is said of decisions at ``t0_N``: before `fitted_until`, what the model said.

        The map has read the outcomes of these, so that what it says of them tells nothing.
        """
        return np.where(t0_N >= self.fitted_until, self(p_N), p_N)


def live_calibration(symbol: str, selection: Mapping[str, Any]) -> LiveCalibration | None:
    """Read the calibration that a selection adds to its model; None where it adds none.

    Parameters
    ----------
    symbol : str
        Begins every message.
    selection : mapping
        A symbol's entry in a manifest that was checked against its schema.

    Raises
    ------
    DeploymentError
        If its numbers make no map.
    """
    entry = selection.get(LIVE_CALIBRATION)
    if entry is None:
        return None
    try:
        numbers = {name: entry[name] for name in _NUMBERS if name in entry}
        read = Calibration.from_json(numbers)
        until = datetime.fromisoformat(entry["fitted_until"])
    except ValueError as error:
        raise DeploymentError(
            f"{symbol}: {LIVE_CALIBRATION}: {error}; calibrate again, or go back to the manifest "
            "before"
        ) from error
    moment = np.datetime64(until.astimezone(UTC).replace(tzinfo=None), "us")
    return LiveCalibration(read, entry["scope"], moment)
