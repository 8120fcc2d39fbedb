"""What a look for drift found: in sentences for people, as a report for machines."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from backtest.period import aware
from live.drift_baseline import AccuracyBefore, SlopeBefore, fitted_slope
from live.drift_report import Cause, SymbolDrift, utc
from live.feature_drift import FeatureShift
from live.outcome_drift import OutcomeTest
from live.symbol_drift import DriftLimits, Looked
from selection.metrics import wilson

# Standard errors of a 95% interval.
_Z: Final = 1.96
_MOST_NAMED: Final = 5
ROWS: Final = {
    "holdout": "signals of the holdout",
    "out_of_fold": "signals out of fold, which the selection had read,",
}


def symbol_drift(found: Looked, limits: DriftLimits) -> SymbolDrift:
    """Return what the report says of a symbol that was looked at."""
    causes = sorted(_causes(found), key=lambda one: one[1])
    n_outcomes = len(found.outcome.t1_N)
    waits = n_outcomes < limits.least_outcomes or _untested(found)
    return SymbolDrift(
        status="tripped" if causes else "waiting" if waits else "stable",
        tripped_at=causes[0][1] if causes else None,
        tripped_by=tuple(cause for cause, _ in causes),
        reasons=tuple(_reasons(found, limits, [cause for cause, _ in causes])),
        n_events=len(found.later),
        features=() if found.features is None else tuple(map(asdict, found.features.shifts)),
        outcome=outcome_facts(found),
    )


def outcome_facts(found: Looked) -> dict[str, Any]:
    """Return what the outcomes say, in values that JSON has."""
    tests = {one.name: _test_facts(found, one) for one in found.outcome.tests}
    return {
        "n_unshared": len(found.outcome.t1_N),
        "n_open": found.later.n_open,
        "since": aware(found.later.since).isoformat(),
        "tests": tests,
        "refused": dict(found.outcome.refused),
    }


def expected_events(found: Looked) -> float | None:
    """Return about how many signals it takes to find all skill gone; None where it is not found."""
    return min((one for one in found.expected.values() if one is not None), default=None)


def accuracy_now(found: Looked) -> tuple[float, float, float, int] | None:
    """Return accuracy since, its 95% interval and of how many outcomes; None of none.

    Up to the alarm where there was one: of those after it nothing was read.
    """
    right_N = found.outcome.right_N[: _n_read(found, "accuracy")]
    if len(right_N) == 0:
        return None
    share = float(right_N.mean())
    return (share, *wilson(share, len(right_N), _Z), len(right_N))


def _causes(found: Looked) -> Iterator[tuple[Cause, datetime]]:
    for one in found.outcome.tests:
        if one.tripped_at is not None:
            yield one.name, aware(one.tripped_at)
    if found.features_tripped_at is not None:
        yield "features", aware(found.features_tripped_at)


def _untested(found: Looked) -> bool:
    return not found.outcome.tests and found.features is None


def _n_read(found: Looked, name: str) -> int:
    tests = [one for one in found.outcome.tests if one.name == name]
    return len(tests[0].detected.statistic_N) if tests else len(found.outcome.t1_N)


def _slope_now(found: Looked) -> float | None:
    if isinstance(found.slope, str):
        return None
    n = found.outcome.position_N[: _n_read(found, "log_loss")]
    fitted = fitted_slope(found.later.y_N[n], found.later.p_N[n], found.slope.base_rate)
    return None if fitted is None else fitted[0]


def _test_facts(found: Looked, test: OutcomeTest) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "before": test.before,
        "at_least": test.at_least,
        "statistic": float(test.detected.statistic_N[-1]) if _n_read(found, test.name) else 0.0,
        "threshold": test.threshold,
        "n_read": _n_read(found, test.name),
        "tripped_at": None if test.tripped_at is None else aware(test.tripped_at).isoformat(),
        "expected_events": found.expected[test.name],
    }
    if test.name == "log_loss":
        return facts | {"now": _slope_now(found), "rows": "out_of_fold", "read_by_selection": True}
    before, now = found.accuracy, accuracy_now(found)
    if isinstance(before, AccuracyBefore):
        facts |= {
            "rows": before.rows,
            "read_by_selection": before.rows == "out_of_fold",
            "n_before": before.n,
            "effective_before": before.effective,
        }
    interval = None if now is None else list(now[1:3])
    return facts | {"now": None if now is None else now[0], "interval_now": interval}


def _reasons(found: Looked, limits: DriftLimits, causes: list[Cause]) -> Iterator[str]:
    tests = {test.name: test for test in found.outcome.tests}
    for cause in causes:
        if cause == "accuracy":
            yield _accuracy(found, tests[cause])
        elif cause == "log_loss":
            yield _slope(found, tests[cause])
        else:
            yield from _features(found, limits)
    n_outcomes = len(found.outcome.t1_N)
    if not causes and n_outcomes < limits.least_outcomes:
        yield (
            f"{n_outcomes} of the {limits.least_outcomes} outcomes are known from which on "
            "anything is said"
        )
    elif not causes and _untested(found):
        yield "nothing is tested: neither outcomes nor features can be held against anything"
    names = {"accuracy": "accuracy is not tested", "log_loss": "probabilities are not tested"}
    for name, why in found.outcome.refused.items():
        yield f"{names[name]}: {why}"
    before, slope = found.accuracy, found.slope
    if isinstance(before, AccuracyBefore) and isinstance(slope, SlopeBefore):
        commoner = max(slope.base_rate, 1 - slope.base_rate)
        if before.at_least <= commoner:
            yield (
                f"accuracy is held to {before.at_least:.1%}, and the commoner outcome alone comes "
                f"in {commoner:.1%} of cases: a model that says always the same may never trip by "
                "it, only by its probabilities"
            )
    if isinstance(found.training_NF, str):
        yield f"features are not compared: {found.training_NF}"


def _accuracy(found: Looked, test: OutcomeTest) -> str:
    before, now = found.accuracy, accuracy_now(found)
    if isinstance(before, str) or now is None or test.tripped_at is None:
        return "accuracy fell"
    share, low, high, n = now
    last_N = found.outcome.right_N[test.detected.likely_from : n]
    return (
        f"accuracy fell: right in {before.accuracy:.1%} of {before.n:,} {ROWS[before.rows]} (at "
        f"least {before.at_least:.1%}), since then in {share:.1%} of {n:,} ({low:.1%} to "
        f"{high:.1%}), most likely in {last_N.mean():.1%} of the last {len(last_N):,}; alarm "
        f"{utc(aware(test.tripped_at))}"
    )


def _slope(found: Looked, test: OutcomeTest) -> str:
    now, n = _slope_now(found), _n_read(found, "log_loss")
    if test.tripped_at is None or now is None:
        return "its probabilities can be believed less"
    n_last = n - (test.detected.likely_from or 0)
    return (
        f"its probabilities can be believed less: slope of the log-odds {test.before:.2f} out of "
        f"fold (at least {test.at_least:.2f}), since then {now:.2f} over "
        f"{n:,} signals, most likely less in the last {n_last:,}; alarm "
        f"{utc(aware(test.tripped_at))}"
    )


def _features(found: Looked, limits: DriftLimits) -> Iterator[str]:
    at = found.features_tripped_at
    if found.features is None or at is None:
        return
    moved = found.features.moved
    for one in moved[:_MOST_NAMED]:
        yield (
            f"{one.name} moved: {feature_in_words(one)}, in the {limits.window} signals up to "
            f"{utc(aware(at))}"
        )
    if len(moved) > _MOST_NAMED:
        names = ", ".join(one.name for one in moved[_MOST_NAMED:])
        yield f"so did {names}"


def feature_in_words(one: FeatureShift) -> str:
    """Return how far a feature moved, and from where to where."""
    return (
        f"PSI {one.psi:.2f} (within training at most {one.psi_in_training:.2f}), median "
        f"{one.median_before:.4g} to {one.median_now:.4g}, p {one.p_adjusted:.1g}"
    )


def failed(why: str) -> SymbolDrift:
    """Return what the report says of a symbol that could not be looked at."""
    return SymbolDrift(status="failed", reasons=(why,))


def without_model(why: str) -> SymbolDrift:
    """Return what the report says of a symbol for which nothing is deployed."""
    return SymbolDrift(status="no_model", reasons=(why,))


def counted(symbols: Mapping[str, SymbolDrift]) -> dict[str, int]:
    """Return how many symbols there are of each status."""
    counts: dict[str, int] = {}
    for one in symbols.values():
        counts[one.status] = counts.get(one.status, 0) + 1
    return counts
