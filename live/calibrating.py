"""Whether later outcomes speak for another probability than the one that is acted on, and which.

A map from what a model says to how often that wins is adopted where, on outcomes it was not fitted
on, its log-loss is surely lower than that of what is live: by a one-sided test of the paired gain.
A symbol with too few outcomes of its own shares a map with the others that have too few.

Axes: N rows that are judged, in the order of their decisions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from live.calibration_rows import Rows, rows_of
from live.resolved import Resolved
from market.bars import FloatArray, TimeArray
from market.compiled import IndexArray
from models.calibration import Calibration, Kind
from selection.calibration import (
    LEAST_EFFECTIVE_ROWS_FITTED,
    LEAST_ROWS,
    SIMPLEST_FIRST,
    fitted,
)
from selection.evidence import LEAST_EFFECTIVE_ROWS, chance_of_gain
from selection.live_calibration import LiveCalibration, Scope
from selection.metrics import (
    classification_metrics,
    expected_calibration_error,
)

LEAST_OUTCOMES = 50
ALPHA = 0.05
# Of a fold's rest: what is fitted for use takes LEAST_ROWS, the parts that judge it a bit less.
_LEAST_IN_FOLDS: Mapping[Kind, int] = dict.fromkeys(SIMPLEST_FIRST, 2)


@dataclass(frozen=True, slots=True)
class Scores:
    """Of probabilities on the rows judged.

    Attributes
    ----------
    log_loss : float
        Nats per row.
    brier : float
    calibration_error : float
        Expected: mean distance of win rates from probabilities over ten bins.
    """

    log_loss: float
    brier: float
    calibration_error: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind of map, as its maps of the rest judged each fold.

    Attributes
    ----------
    kind : str
        ``none`` is the model's own probability.
    p_N : float64 array, shape (n_judged,)
    gain, standard_error : float
        By which its log-loss is lower than that of what is live, nats per row.
    p_value : float
        One-sided, for a gain above zero: Student's t with the effective rows less two.
    scores : Scores
    """

    kind: Kind
    p_N: FloatArray
    gain: float
    standard_error: float
    p_value: float
    scores: Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What came of the outcomes of one symbol, or of several together.

    Attributes
    ----------
    symbols : tuple of str
        For which it holds.
    scope : "model" or "pooled"
    n_outcomes : int
        Known and complete, of all ``symbols``.
    n_fresh : int
        Of these, decided on since the calibration in the manifest was fitted, or the one that was
        rolled back.
    n_missing : int
        Fresh ones until anything is judged; 0 where it was.
    t0_N, y_N, log_odds_N, p_live_N, threshold_N
        Decision times, outcomes, what the model said, what was acted on and what it takes for a
        trade, of the rows that were judged.
    live : Scores or None
        Of ``p_live_N``; None where nothing was judged.
    candidates : tuple of Candidate
        Simplest first; those that there were rows enough for.
    adopted : Candidate or None
        The one that takes the place of what is live.
    calibration : Calibration or None
        Of that kind, fitted on all outcomes, for what comes after them.
    fitted_from, fitted_until : datetime64[us] or None
        First decision and last outcome that it was fitted on, UTC.
    why : str
        Of the outcome, in words.
    """

    symbols: tuple[str, ...]
    scope: Scope
    n_outcomes: int
    n_fresh: int
    n_missing: int
    t0_N: TimeArray
    y_N: IndexArray
    log_odds_N: FloatArray
    p_live_N: FloatArray
    threshold_N: FloatArray
    live: Scores | None
    candidates: tuple[Candidate, ...]
    adopted: Candidate | None
    calibration: Calibration | None
    fitted_from: np.datetime64 | None
    fitted_until: np.datetime64 | None
    why: str

    @property
    def best(self) -> Candidate | None:
        """The one adopted, else the map that came nearest to it; None where there was none."""
        others = sorted(self.candidates, key=lambda one: -one.gain)
        return self.adopted or (others[0] if others else None)


def judged(
    outcomes: Sequence[Resolved],
    live: Mapping[str, LiveCalibration | None],
    *,
    alpha: float = ALPHA,
    rolled_back: Mapping[str, np.datetime64] | None = None,
) -> list[Judgement]:
    """Judge every symbol by its own outcomes, and those with too few of them together.

    A symbol of which no outcome may be judged has no part in what others share.

    Parameters
    ----------
    outcomes : sequence of Resolved
        One for each symbol.
    live : mapping
        By symbol, the calibration in the manifest, or None.
    alpha : float
        A map is adopted where the p-value of its gain is below.
    rolled_back : mapping, optional
        By symbol, up to when the calibration had read that somebody has taken back, UTC: what it
        was adopted on does not speak for it again.

    Returns
    -------
    list of Judgement
        Symbols with enough in their order, then one for those that share, then those of which no
        outcome may be judged.
    """
    asked = _Asked(live, rolled_back or {}, alpha)
    each = [rows_of([one], asked.read_until) for one in outcomes]
    alone, few, silent = [], [], []
    for one, rows in zip(outcomes, each, strict=True):
        if len(rows) >= LEAST_OUTCOMES:
            alone.append(_judged(rows, "model", asked))
        elif rows.fresh_N.any():
            few.append(one)
        else:
            silent.append(_judged(rows, "model", asked))
    scope: Scope = "pooled" if len(few) > 1 else "model"
    shared = [_judged(rows_of(few, asked.read_until), scope, asked)] if few else []
    return [*alone, *shared, *silent]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What `judged` is told beside the outcomes."""

    live: Mapping[str, LiveCalibration | None]
    rolled_back: Mapping[str, np.datetime64]
    alpha: float

    @property
    def read_until(self) -> dict[str, np.datetime64 | None]:
        """By symbol, up to when a calibration has read its outcomes."""
        found: dict[str, np.datetime64 | None] = {}
        for symbol, calibration in self.live.items():
            read = [] if calibration is None else [calibration.fitted_until]
            read += [self.rolled_back[symbol]] if symbol in self.rolled_back else []
            found[symbol] = max(read, default=None)
        return found

    def since(self, symbols: Sequence[str]) -> str:
        """Return since when outcomes count, for a sentence on how many are missing."""
        back = any(one in self.rolled_back for one in symbols)
        return f"the calibration {'that was rolled back' if back else 'in the manifest'} was fitted"


def _judged(rows: Rows, scope: Scope, asked: _Asked) -> Judgement:
    fresh = np.flatnonzero(rows.fresh_N)
    n_missing = max(LEAST_OUTCOMES - len(fresh), 0)
    waits = _missing(n_missing, asked.since(rows.symbols) if len(fresh) < len(rows) else "")
    candidates: tuple[Candidate, ...] = ()
    adopted = None
    scores = None
    if not n_missing and rows.effective_rows(fresh) >= LEAST_EFFECTIVE_ROWS:
        scores = _scores(rows.y_N[fresh], rows.p_live_N[fresh])
        p_by_kind = _by_fold(rows, fresh, mapped=any(asked.live[one] for one in rows.symbols))
        candidates = tuple(_candidate(rows, fresh, kind, p_N) for kind, p_N in p_by_kind.items())
        adopted = _choice(rows, fresh, candidates, asked.alpha)
    return Judgement(
        symbols=rows.symbols,
        scope=scope,
        n_outcomes=len(rows),
        n_fresh=len(fresh),
        n_missing=n_missing,
        t0_N=rows.t0_N[fresh],
        y_N=rows.y_N[fresh],
        log_odds_N=rows.log_odds_N[fresh],
        p_live_N=rows.p_live_N[fresh],
        threshold_N=rows.threshold_N[fresh],
        live=scores,
        candidates=candidates,
        adopted=adopted,
        calibration=None if adopted is None else _fitted(rows, adopted.kind),
        fitted_from=rows.t0_N.min() if len(rows) else None,
        fitted_until=rows.t1_N.max() if len(rows) else None,
        why=_why(candidates, adopted, asked.alpha) if not n_missing else waits,
    )


def _by_fold(rows: Rows, fresh: IndexArray, *, mapped: bool) -> dict[Kind, FloatArray]:
    """Return what the maps of each kind, fitted without the fold, say of the fresh rows.

    The model's own probability takes no fit; it is asked about where a map stands before it.
    """
    own_N = Calibration.none()(rows.log_odds_N)
    found: dict[Kind, FloatArray] = {"none": own_N[fresh]} if mapped else {}
    effective = rows.effective_rows(np.arange(len(rows)))
    for kind in SIMPLEST_FIRST[1:]:
        few = len(rows) < LEAST_ROWS[kind] or effective < LEAST_EFFECTIVE_ROWS_FITTED[kind]
        if few or len(np.unique(rows.y_N)) < 2:
            continue
        p_N = own_N.copy()
        for fold, rest in rows.folds():
            p_N[fold] = _fitted(rows, kind, rest)(rows.log_odds_N[fold])
        found[kind] = p_N[fresh]
    return found


def _fitted(rows: Rows, kind: Kind, part: IndexArray | None = None) -> Calibration:
    at = np.arange(len(rows)) if part is None else part
    return fitted(
        kind,
        rows.log_odds_N[at],
        rows.y_N[at],
        rows.weight_N[at],
        least_rows=LEAST_ROWS if part is None else _LEAST_IN_FOLDS,
    )


def _candidate(rows: Rows, fresh: IndexArray, kind: Kind, p_N: FloatArray) -> Candidate:
    gain, error, p_value = _gain(rows, fresh, p_N, rows.p_live_N[fresh])
    return Candidate(kind, p_N, gain, error, p_value, _scores(rows.y_N[fresh], p_N))


def _gain(
    rows: Rows, fresh: IndexArray, p_N: FloatArray, other_N: FloatArray
) -> tuple[float, float, float]:
    """Return how much less log-loss there is, its standard error and its one-sided p-value."""
    full_N, full_other_N = rows.p_live_N.copy(), rows.p_live_N.copy()
    full_N[fresh], full_other_N[fresh] = p_N, other_N
    gain, error = rows.gain(fresh, full_N, full_other_N)
    return gain, error, chance_of_gain(gain, error, rows.effective_rows(fresh))


def _choice(
    rows: Rows, fresh: IndexArray, candidates: Sequence[Candidate], alpha: float
) -> Candidate | None:
    """Return the simplest that none surely beats; None for what is live."""
    chosen, chosen_N = None, rows.p_live_N[fresh]
    for one in candidates:
        _, _, p_value = _gain(rows, fresh, one.p_N, chosen_N)
        if p_value < alpha:
            chosen, chosen_N = one, one.p_N
    return chosen


def _scores(y_N: IndexArray, p_N: FloatArray) -> Scores:
    found = classification_metrics(y_N, p_N)
    return Scores(found["log_loss"], found["brier"], expected_calibration_error(y_N, p_N))


def _missing(n_missing: int, since: str) -> str:
    later = f" since {since}" if since else ""
    if n_missing == LEAST_OUTCOMES:
        return f"no outcome is known yet{later}; it takes {LEAST_OUTCOMES}"
    return f"{n_missing} of {LEAST_OUTCOMES} outcomes{later} are missing"


def _why(candidates: Sequence[Candidate], adopted: Candidate | None, alpha: float) -> str:
    if not candidates:
        return "too few outcomes that share no time, or all of one kind"
    best = adopted or max(candidates, key=lambda one: one.gain)
    name, gain = NAMES[best.kind], f"{1000 * abs(best.gain):.1f} thousandths of a nat"
    if adopted is not None:
        return f"{name} gains {gain}, p {best.p_value:.2g}"
    if best.gain <= 0:
        return f"kept: {name} would lose {gain}"
    return f"kept: {name} would gain {gain}, p {best.p_value:.2g} where less than {alpha:g} is sure"


NAMES: Mapping[Kind, str] = {
    "none": "the model's own probability",
    "platt": "Platt's sigmoid",
    "isotonic": "isotonic regression",
}
