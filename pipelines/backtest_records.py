"""What a replay's summary, its page and the tracker are told."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backtest.entries import DEPLOYED, NOT_DEPLOYED, Entries
from backtest.headline import in_words as in_words_of
from backtest.headline import interval_in_words, reading
from backtest.holdout import Shown
from backtest.replay_effects import replay_effects
from backtest.replayed import HOLDOUT, SEEN, UNSEEN, Replayed
from backtest.report import ReportContext
from backtest.stats import Statistics, TradeStatistics
from exits.ladder import LOCAL
from exits.parameters import INDEX, defaults, override
from pipelines.backtest_compared import Compared
from pipelines.backtest_entries import Found
from pipelines.backtest_exits import BarrierExits
from pipelines.backtest_settings import EVENTS, SELECTED, BacktestSettings
from pipelines.learned_exits import LearnedExits

# Where it was less, recovery shaped nothing worth a line.
LEAST_RECOVERY_SHARE = 0.1
_SEGMENTS = {
    SEEN: "In months that models were chosen by",
    HOLDOUT: "In the opened holdout",
    UNSEEN: "In months that nothing has read",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A replay, and all that it was made from.

    Attributes
    ----------
    settings : BacktestSettings
    manifest_sha256, conf_digest : str
    started : datetime
        With its zone.
    simulated : bool
    found : Found
    shown : mapping
        The holdouts that it shows, by symbol.
    replayed : Replayed
    statistics : Statistics
    policy : str
        Its name.
    falls : mapping
        How many decisions a rung of a ladder could not make, by cause.
    compared : Compared or None
        What was learnt against other policies.
    n_experiences : int
        How many were written.
    """

    settings: BacktestSettings
    manifest_sha256: str
    conf_digest: str
    started: datetime
    simulated: bool
    found: Found
    shown: Mapping[str, Shown]
    replayed: Replayed
    statistics: Statistics
    policy: str
    falls: Mapping[str, int]
    compared: Compared | None
    n_experiences: int = 0

    @property
    def note(self) -> str | None:
        """What must be said of the entries wherever their figures stand."""
        model, by_hand = self.settings.entries.model, self.found.by_hand
        if model == SELECTED:
            return None
        if model == EVENTS:
            return "every event, no model"
        deployed = [symbol for symbol in self.found.entries if symbol not in by_hand]
        if not deployed:
            return f"{model}: {NOT_DEPLOYED}"
        if not by_hand:
            return f"{model}: {DEPLOYED}"
        return f"{model}: {NOT_DEPLOYED}: {', '.join(by_hand)}; {DEPLOYED}: {', '.join(deployed)}"


def seen_in_words(told: Told) -> list[str]:
    """Return what must be said of trades by whose months the models were chosen."""
    trades = told.statistics.groups["segment"]
    if SEEN not in trades:
        return []
    n_seen, n_trades = trades[SEEN].n_trades, told.statistics.trades.n_trades
    told_apart = trades if n_seen < n_trades else ()
    return [
        f"{n_seen:,} of {_number(n_trades, 'trade')} are of months that models were chosen by: "
        "predicted out of fold, but a chosen model looks better there than it is",
        *(f"{_SEGMENTS[name]}: {_in_short(trades[name])}" for name in told_apart),
    ]


def recovery_in_words(told: Told) -> list[str]:
    """Return how often the account was in recovery, where that shaped the result."""
    drawdown = told.replayed.equity["drawdown"]
    settings = told.settings
    if isinstance(settings.exits, BarrierExits):
        return []
    sensitivity = override(defaults(1.0), settings.exits.parameters)[
        INDEX["recovery_mode_sensitivity"]
    ]
    level = (1.0 - sensitivity) * settings.account.recovery_drawdown
    n_steps = int(((drawdown >= level) & (drawdown > 0.0)).sum())
    if n_steps < LEAST_RECOVERY_SHARE * max(len(drawdown), 1):
        return []
    return [
        f"The account was in recovery, {level:.1%} or more below its high, in "
        f"{n_steps / len(drawdown):.0%} of steps: nearer targets and shorter limits for all "
        "symbols (account.recovery_drawdown)"
    ]


def _in_short(one: TradeStatistics) -> str:
    interval = interval_in_words(one.expectancy_r, "+.3f")
    between = f" ({interval})" if interval else ""
    mean = in_words_of(one.expectancy_r, "+.3f", " R")
    return f"{_number(one.n_trades, 'trade')}, {mean} a trade{between}"


def _number(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def summary(told: Told) -> dict[str, Any]:
    """Return what there is to know of a replay, for a file."""
    settings, found, replayed = told.settings, told.found, told.replayed
    return {
        "manifest": settings.manifest,
        "manifest_sha256": told.manifest_sha256,
        "conf_digest": told.conf_digest,
        "started": told.started,
        "simulated": told.simulated,
        "policy": told.policy,
        "evaluator": settings.evaluator is not None,
        "entries": settings.entries.model,
        "note": told.note,
        "seen": seen_in_words(told),
        "recovery": recovery_in_words(told),
        "reading": reading(told.statistics),
        "symbols": {
            symbol: _symbol(one, found.digests[symbol], told.shown.get(symbol))
            for symbol, one in found.entries.items()
        },
        "untraded": {**found.untraded, **found.not_later},
        "failed": found.failed,
        "warnings": found.warnings,
        **_learning(told),
        "exploration": _exploration(settings),
        "experiences": {"records": told.n_experiences, "replays": settings.exits.draws},
        "bars": replayed.n_bars,
        "seconds": replayed.seconds,
        "statistics": told.statistics.to_json(),
    }


def experiences_in_words(told: Told) -> str:
    """Return how many experiences were written, of how many replays."""
    n_replays = told.settings.exits.draws
    replays = "1 replay" if n_replays == 1 else f"{n_replays} replays"
    return f"{_number(told.n_experiences, 'experience')} of {replays}"


def _exploration(settings: BacktestSettings) -> dict[str, float | int | str] | None:
    variation = settings.exits.variation
    return None if variation is None else variation.to_json()


def falls_in_words(told: Told) -> list[str]:
    """Return for each cause how many decisions a rung of the ladder could not make."""
    counts = told.falls.items()
    return [f"Exits fell from {cause} ({_number(n, 'decision')})" for cause, n in counts]


def compared_in_words(told: Told) -> list[str]:
    """Return in a sentence each what was learnt is worth, entries alone."""
    return [] if told.compared is None else told.compared.in_words


def _learning(told: Told) -> dict[str, Any]:
    """Return what a replay says of exits that were learnt; nothing of others."""
    exits = told.settings.exits
    if not isinstance(exits, LearnedExits):
        return {}
    until = exits.opened.learnt_until
    return {
        "exit_model": exits.folder,
        "learnt_until": None if until is None else str(until.astype("datetime64[s]")),
        "falls": dict(told.falls),
        "comparison": None if told.compared is None else told.compared.to_json(),
    }


def context(told: Told) -> ReportContext:
    """Return what the page says beside the numbers."""
    settings, found = told.settings, told.found
    known = {symbol: one.market.model for symbol, one in found.entries.items()}
    return ReportContext(
        title=f"Replay of {_counted(len(known))}" + (f", {told.note}" if told.note else ""),
        manifest=str(settings.manifest),
        manifest_digest=told.manifest_sha256,
        policy=told.policy,
        models=known,
        not_traded={**found.untraded, **found.not_later, **found.failed},
        settings={
            "entries": {"model": settings.entries.model},
            "costs": asdict(settings.costs),
            "account": asdict(settings.account),
            "exits": {**_texts(asdict(settings.exits.settings)), **settings.exits.parameters},
            **_shown_exploration(told),
            "evaluator": {"kind": "none" if settings.evaluator is None else "points"},
            "replay": _replay_settings(settings),
        },
        simulated=told.simulated,
        chosen_by_hand=found.by_hand,
        holdout_openings={symbol: one.in_words for symbol, one in told.shown.items()},
        compared=() if told.compared is None else told.compared.parts,
        falls=told.falls,
        effects=replay_effects(told.replayed, LOCAL),
        warnings=[
            *(f"Not replayed: {line}" for line in found.failed.values()),
            *falls_in_words(told),
            *seen_in_words(told),
            *recovery_in_words(told),
            *found.warnings,
        ],
    )


def _shown_exploration(told: Told) -> dict[str, dict[str, float | int | str]]:
    varied = _exploration(told.settings)
    return {
        **({"exploration": varied} if varied else {}),
        "experiences": {"experiences.json": experiences_in_words(told)},
    }


def _replay_settings(settings: BacktestSettings) -> dict[str, str | int | None]:
    period = settings.period
    days = {"start": period.start, "end": period.end}
    return {
        "holdout": "open" if period.opens_holdout else "sealed",
        **{name: None if day is None else str(day)[:10] for name, day in days.items()},
        "seed": settings.seed,
        "trials": settings.trials,
    }


def ended(told: Told, files: Sequence[Path]) -> dict[str, Any]:
    """Return the last facts that the tracker is told."""
    counts = {
        "symbols": len(told.found.entries),
        "symbols_untraded": len(told.found.untraded) + len(told.found.not_later),
        "symbols_failed": len(told.found.failed),
        "bars": told.replayed.n_bars,
        "experiences": told.n_experiences,
    }
    tags = {"entries": told.settings.entries.model, "manifest": str(told.settings.manifest)}
    if told.note is not None:
        tags["note"] = told.note
    if seen := seen_in_words(told):
        tags["seen"] = seen[0]
    if told.compared is not None:
        tags["comparison"] = " ".join(told.compared.in_words)
    if told.falls:
        tags["falls"] = "; ".join(falls_in_words(told))
    if told.shown:
        tags["holdout"] = "; ".join(_shown_in_words(told.shown))
    return {
        "metrics": {**told.statistics.metrics(), **counts, **_of_exits(told)},
        "tags": {**tags, "manifest_sha256": told.manifest_sha256, "verdict": _line(told)},
        "artifacts": [(path, "") for path in files],
        "name": run_name(told.settings.name, told.started, told.statistics, told.simulated),
        "description": description(told),
    }


def _of_exits(told: Told) -> dict[str, float]:
    """Return who decided how often, what came of it, and what was learnt against the rest."""
    sources = told.statistics.decisions
    n_decisions = sum(sources.values())
    found = {f"decisions_{source}": n / n_decisions for source, n in sources.items()}
    by_source = told.statistics.groups["prediction_source"]
    found |= {f"pnl_{source}": one.pnl for source, one in by_source.items()}
    if isinstance(told.settings.exits, LearnedExits):
        found["falls"] = float(sum(told.falls.values()))
    return found if told.compared is None else {**found, **told.compared.metrics()}


def description(told: Told) -> str:
    """Return the page of the run, in Markdown."""
    lines = [f"**{_line(told)}**", "", *compared_in_words(told), "", reading(told.statistics)]
    if told.simulated:
        lines += ["", "The market is simulated: nothing here is of real prices."]
    if told.note is not None:
        lines += ["", f"Entries: {told.note}."]
    lines += ["", *(f"- {one}" for one in seen_in_words(told))]
    lines += [f"- {one}" for one in _shown_in_words(told.shown)]
    lines += [f"- {name} was not traded: {why}" for name, why in told.found.untraded.items()]
    lines += [f"- {one}" for one in told.found.failed.values()]
    return "\n".join(lines)


def run_name(name: str, started: datetime, statistics: Statistics | None, simulated: bool) -> str:
    """Return a name that tells replays apart in a narrow column: first what came of it."""
    moment = started.astimezone(UTC).strftime("%m-%d %H:%M:%S")
    market = " · simulated" if simulated else ""
    return f"{_outcome(statistics)} · {moment}{market} · {name}"


def _outcome(statistics: Statistics | None) -> str:
    if statistics is None:
        return "replay"
    trades = statistics.trades
    if trades.expectancy_r.value is None:
        return "no trades"
    return f"{trades.expectancy_r.value:+.3f} R · {trades.n_trades} trades"


def _line(told: Told) -> str:
    symbols = _counted(len(told.found.entries))
    return f"{_outcome(told.statistics)} · {symbols} · {told.policy}"


def _counted(n_symbols: int) -> str:
    return "1 symbol" if n_symbols == 1 else f"{n_symbols} symbols"


def _symbol(one: Entries, data_digest: str, shown: Shown | None) -> dict[str, Any]:
    market = one.market
    touched = one.touched
    return {
        "model": market.model,
        "threshold": market.threshold,
        "data_digest": data_digest,
        "bars": len(market.bars),
        "first_bar": market.bars.start_T[0],
        "last_bar": market.bars.start_T[-1],
        "out_of_fold": one.n_out_of_fold,
        "later": one.n_later,
        "holdout": None
        if touched is None or shown is None
        else {
            "start": touched.first_utc,
            "end": touched.last_utc,
            **asdict(shown.openings),
            "ledger_lacks_training": shown.ledger_lacks_training,
            "in_words": shown.in_words,
        },
    }


def _shown_in_words(shown: Mapping[str, Shown]) -> list[str]:
    return [f"{symbol}: its holdout was {one.in_words}" for symbol, one in shown.items()]


def _texts(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: ", ".join(one) if isinstance(one, tuple) else one for key, one in values.items()}
