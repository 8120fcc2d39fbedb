"""What the files, the page and the tracker are told of a calibration."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from live.calibrating import NAMES, Candidate, Judgement, Scores
from pipelines.calibrate_outcomes import Outcomes
from pipelines.calibrate_settings import CalibrateSettings
from selection.metrics import reliability_bins

# A bin of fewer rows says little; ten bins at most.
LEAST_IN_BIN, MOST_BINS = 20, 10
POOLED = "pooled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A calibration, and all that it was made from.

    Attributes
    ----------
    settings : CalibrateSettings
    started : datetime
        With its zone.
    simulated : bool
    folder : Path
        Where the files go.
    conf_digest, manifest_sha256 : str
    outcomes : Outcomes
    judgements : tuple of Judgement
    published_sha256 : str or None
        Of the next manifest, where there is one.
    refused : str or None
        Why there is none, where there should be.
    """

    settings: CalibrateSettings
    started: datetime
    simulated: bool
    folder: Path
    conf_digest: str
    manifest_sha256: str
    outcomes: Outcomes
    judgements: tuple[Judgement, ...]
    published_sha256: str | None
    refused: str | None

    @property
    def adopted(self) -> list[Judgement]:
        """Those by which a probability changes."""
        return [one for one in self.judgements if one.adopted is not None]


def name_of(one: Judgement) -> str:
    """Return whose outcomes were judged."""
    if one.scope == "model":
        return one.symbols[0]
    return f"{POOLED}: {', '.join(one.symbols)}"


def shortly(one: Judgement) -> str:
    """Return what came of a judgement in a word or two; `Judgement.why` has the numbers."""
    if one.adopted is not None:
        return "adopted"
    if one.n_missing:
        return f"{one.n_missing} missing"
    if one.best is None:
        return "too few apart"
    return "no gain" if one.best.gain <= 0 else "not sure"


def live_kind(told: Told, one: Judgement) -> str:
    """Return what maps the model's probability today."""
    kinds = {
        "none" if live is None else live.map.kind
        for live in (told.outcomes.live[symbol] for symbol in one.symbols)
    }
    return " or ".join(sorted(kinds))


def taken(one: Judgement, candidate: Candidate | None) -> int:
    """Return how many of the judged signals reach their threshold, by a candidate or as it is."""
    p_N = one.p_live_N if candidate is None else candidate.p_N
    return int((p_N >= one.threshold_N).sum())


def ends_trading(told: Told) -> list[str]:
    """Return symbols whose adopted map would have taken none of the signals that were taken."""
    return [
        symbol
        for one in told.adopted
        if taken(one, None) and not taken(one, one.adopted)
        for symbol in one.symbols
    ]


def ends_trading_words(told: Told) -> str:
    """Return a sentence on the symbols that an adopted map ends trading for; nothing without."""
    if not (symbols := ends_trading(told)):
        return ""
    with_it = "with it" if len(told.adopted) == 1 else "with the maps adopted"
    return f"{with_it} {', '.join(symbols)} would have taken no signal"


def entry(one: Judgement) -> dict[str, Any] | None:
    """Return what a manifest says of a map that is adopted; None where none shall be left."""
    adopted, live = one.adopted, one.live
    if adopted is None or live is None or one.calibration is None or adopted.kind == "none":
        return None
    scores = {
        name: {"before": getattr(live, name), "after": getattr(adopted.scores, name)}
        for name in ("log_loss", "brier", "calibration_error")
    }
    return {
        **one.calibration.to_json(),
        "scope": one.scope,
        "symbols": list(one.symbols),
        "fitted_from": one.fitted_from,
        "fitted_until": one.fitted_until,
        "rows": one.n_outcomes,
        "judged_rows": one.n_fresh,
        **scores,
        "gain": adopted.gain,
        "standard_error": adopted.standard_error,
        "p_value": adopted.p_value,
    }


def reason(judgements: Sequence[Judgement]) -> str:
    """Return in one line what was adopted, for the history."""
    found = [
        f"{', '.join(one.symbols)}: {NAMES[one.adopted.kind]}"
        for one in judgements
        if one.adopted is not None
    ]
    return f"calibrated on later outcomes: {'; '.join(found)}"


def verdict(told: Told) -> str:
    """Return in one line what came of it."""
    symbols = [symbol for one in told.adopted for symbol in one.symbols]
    n_judged = sum(len(one.symbols) for one in told.judgements if one.live is not None)
    if not told.outcomes.resolved:
        asked = "of those asked for " if told.settings.symbols else ""
        return f"no symbol {asked}is deployed"
    if not symbols:
        return f"{n_judged} of {len(told.outcomes.resolved)} symbols judged, nothing is adopted"
    if told.refused is not None:
        return f"adopted for {', '.join(symbols)}, but not published: {told.refused}"
    if told.published_sha256 is None:
        return f"would be adopted for {', '.join(symbols)}; not published (publish=false)"
    return f"adopted for {', '.join(symbols)}: manifest {told.published_sha256[:12]} is live"


def taken_back(told: Told) -> Iterator[str]:
    """Yield a sentence on every symbol whose calibration was rolled back."""
    for symbol, until in told.outcomes.rolled_back.items():
        yield (
            f"{symbol}: a calibration on outcomes up to {str(until)[:10]} was rolled back: only "
            "what was decided since then is judged"
        )


def document(told: Told) -> dict[str, Any]:
    """Return what there is to know of a calibration, for machines."""
    settings, outcomes = told.settings, told.outcomes
    return {
        "schema_version": 1,
        "timestamp": told.started,
        "manifest": settings.manifest,
        "manifest_sha256": told.manifest_sha256,
        "published_sha256": told.published_sha256,
        "refused": told.refused,
        "conf_digest": told.conf_digest,
        "simulated": told.simulated,
        "until": settings.until,
        "alpha": settings.alpha,
        "verdict": verdict(told),
        "ends_trading": ends_trading(told),
        "judgements": [_judgement(told, one) for one in told.judgements],
        "without_model": outcomes.without_model,
        "failed": outcomes.failed,
        "warnings": outcomes.warnings,
        "rolled_back": outcomes.rolled_back,
        "data_digests": outcomes.digests,
        "open_outcomes": {one.symbol: one.n_open for one in outcomes.resolved},
        "since": {one.symbol: one.since for one in outcomes.resolved},
    }


def _judgement(told: Told, one: Judgement) -> dict[str, Any]:
    best = one.best
    return {
        "symbols": one.symbols,
        "scope": one.scope,
        "live": live_kind(told, one),
        "outcomes": one.n_outcomes,
        "judged": len(one.y_N) if one.live is not None else 0,
        "missing": one.n_missing,
        "adopted": None if one.adopted is None else one.adopted.kind,
        "why": one.why,
        "before": None if one.live is None else asdict(one.live),
        "candidates": {
            each.kind: {
                "gain": each.gain,
                "standard_error": each.standard_error,
                "p_value": each.p_value,
                **asdict(each.scores),
            }
            for each in one.candidates
        },
        "taken": None
        if best is None
        else {"before": taken(one, None), "after": taken(one, best), "after_kind": best.kind},
        "reliability": None
        if best is None
        else {
            "before": reliability_bins(one.y_N, one.p_live_N, n_bins(one)),
            "after": reliability_bins(one.y_N, best.p_N, n_bins(one)),
        },
        "live_calibration": entry(one),
    }


def n_bins(one: Judgement) -> int:
    """Return how many bins a reliability diagram has."""
    return max(min(MOST_BINS, len(one.y_N) // LEAST_IN_BIN), 1)


def ended(told: Told, files: Sequence[Path]) -> dict[str, Any]:
    """Return the last facts that the tracker is told."""
    metrics: dict[str, float] = {
        "symbols": float(len(told.outcomes.resolved)),
        "symbols_failed": float(len(told.outcomes.failed)),
        "symbols_calibrated": float(sum(len(one.symbols) for one in told.adopted)),
        "outcomes": float(sum(one.n_outcomes for one in told.judgements)),
    }
    for one in told.judgements:
        if one.live is None or one.best is None:
            continue
        name = POOLED if one.scope == POOLED else one.symbols[0]
        metrics[f"{name}/gain"] = one.best.gain
        metrics[f"{name}/gain_standard_error"] = one.best.standard_error
        metrics |= _scores(f"{name}/before", one.live)
        metrics |= _scores(f"{name}/after", one.best.scores)
    return {
        "metrics": metrics,
        "tags": {
            "verdict": verdict(told),
            "manifest": str(told.settings.manifest),
            "manifest_sha256": told.manifest_sha256,
            "published_sha256": told.published_sha256 or "",
        },
        "artifacts": [(path, "") for path in files],
        "name": run_name(told.settings.name, told.started, told, simulated=told.simulated),
        "description": _description(told),
    }


def _scores(prefix: str, scores: Scores) -> dict[str, float]:
    return {f"{prefix}_{name}": float(value) for name, value in asdict(scores).items()}


def _description(told: Told) -> str:
    """Return the page of the run, in Markdown."""
    lines = [
        f"**{verdict(told)}**",
        "",
        *(f"- {name_of(one)}: {one.why}" for one in told.judgements),
        *(f"- {line}" for line in (ends_trading_words(told), *taken_back(told)) if line),
    ]
    lines += [f"- {line}" for line in told.outcomes.failed.values()]
    if told.simulated:
        lines += ["", "The market is simulated: nothing here is of real prices."]
    return "\n".join(lines)


def run_name(name: str, started: datetime, told: Told | None, *, simulated: bool) -> str:
    """Return a name that tells runs apart in a narrow column: first what came of it, then when."""
    moment = started.astimezone(UTC).strftime("%m-%d %H:%M:%S")
    outcome = "calibration"
    if told is not None:
        n_adopted = sum(len(one.symbols) for one in told.adopted)
        outcome = f"{n_adopted}/{len(told.outcomes.resolved)} calibrated"
    market = " · simulated" if simulated else ""
    return f"{outcome} · {moment}{market} · {name}"


def settings_shown(told: Told) -> Mapping[str, str]:
    """Return what the run was told, as the page shows it."""
    settings = told.settings
    return {
        "manifest": str(settings.manifest),
        "its SHA-256": told.manifest_sha256,
        "next manifest": told.published_sha256 or "none",
        "until": "the last bar" if settings.until is None else str(settings.until)[:10],
        "publish": str(settings.publish).lower(),
        "alpha": f"{settings.alpha:g}",
    }
