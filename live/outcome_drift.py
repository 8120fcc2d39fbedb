"""Whether a deployed model still is what its manifest says it was: tests of its later outcomes.

Two bets are made on every outcome. One is on whether the model's answer was right, against the
accuracy that its holdout showed. The other is on how far the model's own probabilities can be
believed: on the slope of the log-odds (of the model less those of the base rate) that its rows out
of fold showed. The second sees more: a sure answer that was wrong counts for more than a doubtful
one.

Axes: N outcomes in time order, R rows out of fold, K alternatives.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from live.drift_alarm import Detected, detect, unshared
from live.drift_baseline import (
    AccuracyBefore,
    SlopeBefore,
    win_log_likelihood,
)
from live.resolved import Resolved
from market.bars import FloatArray, TimeArray
from market.compiled import BoolArray, IndexArray
from selection.evidence import CLIP
from selection.metrics import log_odds

TestName = Literal["accuracy", "log_loss"]
# Losses of accuracy that are bet on, from a slight one to a reversal.
LOSSES_K: Final = (0.03, 0.06, 0.10, 0.16, 0.25)
# Slopes that are bet on: half the skill, a quarter, none, and answers that are turned round.
SLOPES_K: Final = (0.5, 0.25, 0.0, -0.5, -1.0)
ANSWER: Final = 0.5


@dataclass(frozen=True, slots=True)
class OutcomeTest:
    """One sequential test.

    Attributes
    ----------
    name : str
    before : float
        Accuracy or slope that the manifest's rows showed.
    at_least : float
        Its lower bound: the test alarms where it has become less than that.
    threshold : float
        What the statistic must reach.
    detected : Detected
    tripped_at : datetime64[us] or None
        When the outcome was known after which it alarmed, UTC.
    """

    name: TestName
    before: float
    at_least: float
    threshold: float
    detected: Detected
    tripped_at: np.datetime64 | None


@dataclass(frozen=True, slots=True)
class OutcomeDrift:
    """What the later outcomes of one symbol say.

    Attributes
    ----------
    position_N : int64 array, shape (n_unshared,)
        Positions of the outcomes that count among all later ones.
    t1_N : datetime64[us] array, shape (n_unshared,)
        When each outcome that counts was known: those of signals that do not share their time.
    right_N : bool array, shape (n_unshared,)
        Whether the model's answer was right.
    tests : tuple of OutcomeTest
    refused : mapping of str to str
        Tests that cannot be made, and why.
    """

    position_N: IndexArray
    t1_N: TimeArray
    right_N: BoolArray
    tests: tuple[OutcomeTest, ...]
    refused: Mapping[TestName, str]


def outcome_drift(
    later: Resolved,
    accuracy: AccuracyBefore | str,
    slope: SlopeBefore | str,
    *,
    false_alarm_every: Mapping[TestName, float],
) -> OutcomeDrift:
    """Follow both tests over the later outcomes of a symbol, each until it alarms.

    Parameters
    ----------
    later : Resolved
    accuracy, slope : AccuracyBefore, SlopeBefore, or str
        What the manifest says, or why it cannot be known.
    false_alarm_every : mapping of str to float
        By test: outcomes that pass on average, at least, from one false alarm to the next.
    """
    n = unshared_of(later)
    y_N, p_N, t1_N = later.y_N[n], later.p_N[n], later.t1_N[n]
    right_N = (p_N >= ANSWER) == (y_N == 1)
    tests: list[OutcomeTest] = []
    refused: dict[TestName, str] = {}
    if isinstance(accuracy, str):
        refused["accuracy"] = accuracy
    else:
        tests.append(
            _followed(
                "accuracy",
                (accuracy.accuracy, accuracy.at_least),
                accuracy_bets(right_N, accuracy.at_least),
                t1_N,
                false_alarm_every["accuracy"],
            )
        )
    if isinstance(slope, str):
        refused["log_loss"] = slope
    else:
        tests.append(
            _followed(
                "log_loss",
                (slope.slope, slope.at_least),
                slope_bets(y_N, p_N, slope),
                t1_N,
                false_alarm_every["log_loss"],
            )
        )
    return OutcomeDrift(n, t1_N, right_N, tuple(tests), refused)


def accuracy_bets(right_N: BoolArray, at_least: float) -> FloatArray:
    """Return log bets, shape (n_outcomes, n_alternatives), against an accuracy of at least this.

    Each is a likelihood ratio of a lower accuracy to the bound: of any accuracy above the bound its
    expectation is below 1.
    """
    lower_K = np.array([at_least - loss for loss in LOSSES_K if at_least - loss > 0])
    return np.where(
        right_N[:, np.newaxis],
        np.log(lower_K / at_least),
        np.log((1 - lower_K) / (1 - at_least)),
    )


def slope_bets(y_N: IndexArray, p_N: FloatArray, before: SlopeBefore) -> FloatArray:
    """Return log bets, shape (n_outcomes, n_alternatives), against a slope of at least the bound.

    As those of accuracy: a steeper slope than the bound only lowers their expectation, since the
    likelihood is an exponential family in the slope, outcome by outcome.
    """
    base = float(log_odds(np.array([before.base_rate]), CLIP)[0])
    score_N = log_odds(p_N, CLIP) - base
    null_N = win_log_likelihood(y_N, base + before.at_least * score_N)
    lower = [one for one in SLOPES_K if one < before.at_least]
    return np.stack(
        [win_log_likelihood(y_N, base + one * score_N) - null_N for one in lower], axis=1
    )


def unshared_of(later: Resolved) -> IndexArray:
    """Return positions of the outcomes that count; see `live.drift_alarm.unshared`.

    Those known only because they came quickly are left out: that would favour stops and targets
    that lie near.
    """
    return unshared(later.t0_N[: later.n_whole], later.t1_N[: later.n_whole])


def _followed(
    name: TestName,
    before: tuple[float, float],
    bets_NK: FloatArray,
    t1_N: TimeArray,
    every: float,
) -> OutcomeTest:
    detected = detect(bets_NK, every)
    at = None if detected.alarm is None else t1_N[detected.alarm]
    return OutcomeTest(name, *before, every, detected, at)
