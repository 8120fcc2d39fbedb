"""The rule by which a model trained again takes the place of the one that is deployed.

Both are judged on the same later events, which neither was made from nor the alarm that called for
the challenger was raised by: where a champion is suspected because it did badly, it will do better
on the next events by chance alone, and so will whatever is compared with it on the old ones.

Axes: N later events.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from selection.certified import in_digits
from selection.evidence import Advantage, Evidence, advantage, evidence, holm
from selection.metrics import log_losses
from selection.out_of_fold import OutOfFold

# Of a selection: how its model won the place.
CHALLENGE = "challenge"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What later events say of a challenger, and of it beside the champion.

    Attributes
    ----------
    rows : int
    effective_rows : float
        Rows without overlap that would say as much.
    found : Evidence
        Of the challenger alone.
    ahead : Advantage or None
        Of the challenger over the champion; None where none is deployed.
    log_loss : float
        The challenger's, nats per row.
    champion_log_loss : float or None
    """

    rows: int
    effective_rows: float
    found: Evidence
    ahead: Advantage | None
    log_loss: float
    champion_log_loss: float | None

    @property
    def p_value(self) -> float:
        """The larger of both p-values: the place changes hands only where both claims hold."""
        return max(self.found.p_value, self.ahead.p_value if self.ahead else 0.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a challenger takes the place.

    Attributes
    ----------
    adopted : bool
    p_adjusted : float
        After Holm over the symbols that were judged together.
    family : int
        Their number.
    reason : str
        One sentence.
    """

    adopted: bool
    p_adjusted: float
    family: int
    reason: str


def challenged(challenger: OutOfFold, champion: OutOfFold | None) -> Challenge:
    """Compare a challenger with the champion on the events that both have spoken of.

    Parameters
    ----------
    challenger, champion : OutOfFold
        On events later than all that either has read. No champion: none is deployed.

    Raises
    ------
    ValueError
        If both name another outcome for one event.
    """
    if champion is not None:
        challenger, champion = challenger.at(champion.t0_N), champion.at(challenger.t0_N)
        if not np.array_equal(challenger.y_N, champion.y_N):
            raise ValueError("outcomes of champion and challenger differ: other labels, other bars")
    found = evidence(challenger)
    return Challenge(
        rows=len(challenger),
        effective_rows=found.effective_rows,
        found=found,
        ahead=None if champion is None else advantage(challenger, champion),
        log_loss=_log_loss(challenger),
        champion_log_loss=None if champion is None else _log_loss(champion),
    )


def verdicts(challenges: Mapping[str, Challenge], alpha: float) -> dict[str, Verdict]:
    """Judge the challengers of several symbols.

    A challenger takes the place where its predictions go with the outcomes (`evidence`), and where
    it has less log-loss than the champion (`advantage`); the chance that any takes it for whom one
    of both is untrue is at most ``alpha``.

    Parameters
    ----------
    challenges : mapping
        By symbol.
    alpha : float
        In (0, 0.5).
    """
    adjusted = holm({symbol: one.p_value for symbol, one in challenges.items()})
    family = len(challenges)
    return {
        symbol: Verdict(p <= alpha, p, family, _reason(challenges[symbol], p, alpha, family))
        for symbol, p in adjusted.items()
    }


def challenged_until(selection: Mapping[str, Any]) -> np.datetime64 | None:
    """Return up to when events were read to give a model its place, UTC; None if none were."""
    told = selection.get(CHALLENGE)
    if told is None:
        return None
    until = datetime.fromisoformat(told["until"]).astimezone(UTC)
    return np.datetime64(until.replace(tzinfo=None), "us")


def _reason(one: Challenge, adjusted: float, alpha: float, family: int) -> str:
    on = f"on {one.rows} later events ({one.effective_rows:.0f} without overlap)"
    among = f", {in_digits(adjusted)} among {family} symbols" if family > 1 else ""
    if adjusted <= alpha:
        return f"Better {on}: p = {in_digits(one.p_value)}{among}; {_losses(one)}"
    if one.found.p_value > alpha:
        own = f"p = {in_digits(one.found.p_value)}" if one.found.gain > 0 else "no better than none"
        return f"No evidence of its own {on} ({own}); {_losses(one)}"
    if one.ahead is not None and one.ahead.p_value > alpha:
        p = in_digits(one.ahead.p_value)
        return f"Not better than the champion {on} (p = {p}); {_losses(one)}"
    return f"Not sure enough {on}: p = {in_digits(one.p_value)}{among}; {_losses(one)}"


def _losses(one: Challenge) -> str:
    if one.champion_log_loss is None:
        return f"log-loss {one.log_loss:.4f}"
    return f"log-loss {one.log_loss:.4f}, the champion's {one.champion_log_loss:.4f}"


def _log_loss(rows: OutOfFold) -> float:
    if not len(rows):
        return float("nan")
    return float(log_losses(rows.y_N, rows.p_N).mean())
