"""What the screen, the page and the tracker are told of a look for drift."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from live.drift_expected import MOST_AFTER
from live.drift_report import DriftReport, SymbolDrift
from live.drift_words import accuracy_now, counted, expected_events
from live.symbol_drift import Looked
from pipelines.drift_settings import DriftSettings

BY = {"accuracy": "accuracy", "log_loss": "probabilities", "features": "features"}


@dataclass(slots=True)
class Found:
    """What became of the symbols.

    Attributes
    ----------
    looked : dict of str to Looked
        Those that could be looked at.
    symbols : dict of str to SymbolDrift
        All of them, as the report has them.
    digests : dict of str to str
        What identifies the bars of each that were read.
    warnings : list of str
        What is odd about bars.
    """

    looked: dict[str, Looked] = field(default_factory=dict)
    symbols: dict[str, SymbolDrift] = field(default_factory=dict)
    digests: dict[str, str | None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A look for drift, and all that it was made from.

    Attributes
    ----------
    settings : DriftSettings
    started : datetime
        With its zone.
    simulated : bool
    folder : Path
    conf_digest : str
    report : DriftReport
    found : Found
    known : frozenset of str
        Tripped symbols whose alarm the report beside the manifest names already.
    """

    settings: DriftSettings
    started: datetime
    simulated: bool
    folder: Path
    conf_digest: str
    report: DriftReport
    found: Found
    known: frozenset[str]


def verdict(told: Told) -> str:
    """Return in one line what came of it."""
    tripped, counts = told.report.tripped, counted(told.report.symbols)
    rest = [
        f"{counts[status]} {words}"
        for status, words in (
            ("stable", "stable"),
            ("waiting", "waiting"),
            ("no_model", "without a model"),
            ("failed", "not looked at"),
        )
        if status in counts
    ]
    first = f"{', '.join(tripped)} drifted" if tripped else "no symbol has drifted"
    return "; ".join([first, *rest])


def accuracy_words(one: Looked) -> tuple[str, str]:
    """Return accuracy before, with its lower bound, and since, with its interval."""
    before, now = one.accuracy, accuracy_now(one)
    was = "" if isinstance(before, str) else f"{before.accuracy:.1%} (≥ {before.at_least:.1%})"
    if not isinstance(before, str) and before.rows == "out_of_fold":
        was += " *"
    return was, "" if now is None else f"{now[0]:.1%} ({100 * now[1]:.1f}-{now[2]:.1%})"


def needed_words(one: Looked) -> str:
    """Return how many signals it takes to find all skill gone; nothing where none is tested."""
    if not one.outcome.tests:
        return ""
    needed = expected_events(one)
    return f"> {MOST_AFTER:,}" if needed is None else f"{needed:,.0f}"


def ended(told: Told, files: Sequence[Path]) -> dict[str, Any]:
    """Return the last facts that the tracker is told."""
    report = told.report
    metrics: dict[str, float] = {
        f"symbols_{status}": float(n) for status, n in counted(report.symbols).items()
    }
    for symbol, looked in told.found.looked.items():
        one = report.symbols[symbol]
        metrics[f"{symbol}/tripped"] = float(one.status == "tripped")
        metrics[f"{symbol}/events"] = float(one.n_events)
        if (now := accuracy_now(looked)) is not None:
            metrics[f"{symbol}/accuracy_now"] = now[0]
        for test in looked.outcome.tests:
            metrics[f"{symbol}/{test.name}_before"] = test.before
            if len(test.detected.statistic_N):
                share = float(test.detected.statistic_N[-1]) / test.threshold
                metrics[f"{symbol}/{test.name}_share_of_threshold"] = share
        if looked.features is not None:
            metrics[f"{symbol}/largest_psi"] = max(each.psi for each in looked.features.shifts)
            metrics[f"{symbol}/features_moved"] = float(len(looked.features.moved))
    return {
        "metrics": metrics,
        "tags": {
            "verdict": verdict(told),
            "tripped": ", ".join(report.tripped),
            "manifest": str(told.settings.manifest),
            "manifest_sha256": report.manifest_sha256,
        },
        "artifacts": [(path, "") for path in files],
        "name": run_name(told.settings.name, told.started, told, simulated=told.simulated),
        "description": _description(told),
    }


def _description(told: Told) -> str:
    """Return the page of the run, in Markdown."""
    lines = [f"**{verdict(told)}**", ""]
    for symbol, one in told.report.symbols.items():
        if one.status in ("tripped", "failed"):
            lines += [f"- {symbol}: {reason}" for reason in one.reasons]
    if told.simulated:
        lines += ["", "The market is simulated: nothing here is of real prices."]
    return "\n".join(lines)


def run_name(name: str, started: datetime, told: Told | None, *, simulated: bool) -> str:
    """Return a name that tells runs apart in a narrow column: first what came of it, then when."""
    moment = started.astimezone(UTC).strftime("%m-%d %H:%M:%S")
    outcome = "drift"
    if told is not None:
        outcome = f"{len(told.report.tripped)}/{len(told.found.looked)} drifted"
    market = " · simulated" if simulated else ""
    return f"{outcome} · {moment}{market} · {name}"


def settings_shown(told: Told) -> dict[str, str]:
    """Return what the run was told, as the page shows it."""
    settings, limits = told.settings, told.settings.limits
    return {
        "manifest": str(settings.manifest),
        "manifest digest": told.report.manifest_sha256,
        "expected_false_alarm_every": f"{limits.expected_false_alarm_every:,.0f} signals",
        "confidence": f"{limits.confidence:g}",
        "window": f"{limits.window} signals",
        "least_psi": f"{limits.least_psi:g}",
        "until": "" if settings.until is None else str(settings.until.astype("M8[D]")),
    }
