"""One look at one deployed symbol: its later outcomes, and the features they came with.

Axes: N rows or events, F features.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from backtest.period import moment
from live.drift_baseline import AccuracyBefore, SlopeBefore, accuracy_before, slope_before
from live.drift_expected import expected_events, random_walk_share
from live.feature_drift import FeatureDrift, Training, feature_drift
from live.outcome_drift import OutcomeDrift, TestName, outcome_drift
from live.resolved import Resolved, resolved
from market.bars import Bars, FloatArray
from selection import DeployedModels
from selection.given import closed_bars

# Of the false alarms that are allowed, what each test may raise.
FEATURES_SHARE: Final = 0.5
OUTCOME_SHARES: Final[dict[TestName, float]] = {"accuracy": 0.25, "log_loss": 0.25}


class DriftLimits:
    """When a symbol trips.

    Parameters
    ----------
    expected_false_alarm_every : float
        Resolved signals of an unchanged market that pass on average, at least, from one false alarm
        to the next, of all tests of a symbol together.
    confidence : float
        Chance that the accuracy and the slope before deployment truly are at least the lower bounds
        that later outcomes are held to. The higher, the rarer a false alarm by a lucky holdout, and
        the longer it takes to find that an edge is gone.
    window : int
        Signals whose features are looked at together.
    least_psi : float
        Population stability index from which on a feature has moved far enough to matter.
    least_outcomes : int
        With fewer a symbol that has not tripped is said to wait, not to be stable.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    def __init__(
        self,
        *,
        expected_false_alarm_every: float,
        confidence: float,
        window: int,
        least_psi: float,
        least_outcomes: int,
    ) -> None:
        if not expected_false_alarm_every >= 100:
            raise ValueError(
                "expected_false_alarm_every must be at least 100 signals, was "
                f"{expected_false_alarm_every:g}"
            )
        if not 0.5 <= confidence < 1:
            raise ValueError(f"confidence must be from 0.5 to below 1, was {confidence:g}")
        if window < 20:
            raise ValueError(f"window must be at least 20 signals, was {window}")
        if not least_psi >= 0:
            raise ValueError(f"least_psi must be at least 0, was {least_psi:g}")
        if least_outcomes < 1:
            raise ValueError(f"least_outcomes must be at least 1, was {least_outcomes}")
        self.expected_false_alarm_every = expected_false_alarm_every
        self.confidence = confidence
        self.window = window
        self.least_psi = least_psi
        self.least_outcomes = least_outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What was found of one symbol.

    Attributes
    ----------
    later : Resolved
    accuracy, slope : AccuracyBefore, SlopeBefore, or str
        What the manifest's rows showed, or why that is not known.
    outcome : OutcomeDrift
    expected : mapping of str to float
        By test, about how many signals it takes to find that the edge is gone; None where too many.
    training_NF : float64 array, shape (n_rows, n_features), or str
        What was trained on, made again from the bars; or why it cannot be compared.
    features : FeatureDrift or None
        None before a whole window, and where there is nothing to compare with.
    """

    later: Resolved
    accuracy: AccuracyBefore | str
    slope: SlopeBefore | str
    outcome: OutcomeDrift
    expected: Mapping[TestName, float | None]
    training_NF: FloatArray | str
    features: FeatureDrift | None

    @property
    def features_tripped_at(self) -> np.datetime64 | None:
        """When the last signal of the window was decided on in which a feature moved, UTC."""
        if self.features is None or not self.features.moved:
            return None
        at: np.datetime64 = self.later.t0_N[self.features.last]
        return at


def look(deployed: DeployedModels, symbol: str, bars: Bars, limits: DriftLimits) -> Looked:
    """Hold a symbol's later events against what its model was trained and judged on.

    Each test reads event after event and stops at its alarm. The same bars give the same answer,
    and more bars change nothing of what was found in the first.

    Parameters
    ----------
    deployed : DeployedModels
    symbol : str
    bars : Bars
        A history that holds the training's too, or features are not compared.
    limits : DriftLimits

    Raises
    ------
    DeploymentError
        As `live.resolved.resolved`; or if predictions are not what the manifest says.
    DataError
        If the bars cannot be used.
    """
    later = resolved(deployed, symbol, bars)
    accuracy = accuracy_before(symbol, deployed.selection(symbol), confidence=limits.confidence)
    slope = slope_before(deployed, symbol, confidence=limits.confidence)
    labels = deployed.definition(symbol).labels
    every = limits.expected_false_alarm_every
    every_of: dict[TestName, float] = {
        name: every / share for name, share in OUTCOME_SHARES.items()
    }
    outcome = outcome_drift(later, accuracy, slope, false_alarm_every=every_of)
    expected = expected_events(
        accuracy,
        slope,
        false_alarm_every=every_of,
        chance=random_walk_share(profit_atr=labels.profit_atr, stop_atr=labels.stop_atr),
    )
    training_NF = training_rows(deployed, symbol, bars)
    features = None
    if not isinstance(training_NF, str):
        try:
            training = Training(training_NF, later.names_F, window=limits.window)
            features = feature_drift(
                training,
                later.x_NF[: later.n_whole],
                false_alarm_every=every / FEATURES_SHARE,
                least_psi=limits.least_psi,
            )
        except ValueError as error:
            training_NF = str(error)
    return Looked(
        later=later,
        accuracy=accuracy,
        slope=slope,
        outcome=outcome,
        expected=expected,
        training_NF=training_NF,
        features=features,
    )


def training_rows(deployed: DeployedModels, symbol: str, bars: Bars) -> FloatArray | str:
    """Return the rows that a model was trained on, made again; a sentence where they are not.

    Raises
    ------
    DeploymentError, DataError
        As `look`.
    """
    found = deployed.selection(symbol).get("windows", {}).get("train")
    try:
        first, last, n_rows = moment(found["start"]), moment(found["end"]), int(found["rows"])
    except (KeyError, TypeError, ValueError):
        return "the manifest does not say what its model was trained on; train again"
    definition = deployed.definition(symbol)
    decisions = definition.decisions(closed_bars(symbol, bars, length=None, now=None))
    inside_N = (decisions.t0_N >= first) & (decisions.t0_N <= last)
    # The last events are left out of training whose outcome came after all of its.
    if not 0 <= int(inside_N.sum()) - n_rows <= definition.labels.max_bars:
        return (
            f"{n_rows} rows were trained on from {_day(first)} to {_day(last)}, these bars make "
            f"{int(inside_N.sum())} there; give the history that was trained on as well"
        )
    rows_NF: FloatArray = decisions.x_NF[inside_N]
    return rows_NF


def _day(time: np.datetime64) -> str:
    return str(time.astype("datetime64[D]"))
