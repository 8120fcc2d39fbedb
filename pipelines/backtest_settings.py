"""From a composed configuration of backtest to typed, checked objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from backtest.costs import Account, Costs
from backtest.period import Period
from exits.evaluator import ExitEvaluator
from pipelines.backtest_exits import BarrierExits, ExitChoice, FixedExits
from pipelines.command import ConfigError
from pipelines.deploy_settings import checked_public_key
from pipelines.learned_exits import LearnedExits
from pipelines.live_inputs import OfBars, day, source_of_bars
from pipelines.typed_conf import chosen, root_values, section
from tracking.tracker import Tracker

SELECTED = "selected"
EVENTS = "events"
GROUPS = ("data", "costs", "account", "exits", "evaluator", "tracking")
SECTIONS = ("entries", "replay")
SCALARS: dict[str, Any] = {
    "name": str,
    "manifest": str,
    "public_key": str | None,
    "symbols": list[str] | None,
    "seed": int,
    "trials": int,
    "output_dir": str | None,
}


class EntryChoice:
    """Whose entries are traded."""

    def __init__(self, *, model: str, run: str | None) -> None:
        if not model.strip():
            raise ValueError("model must be selected, events or a model's name, was empty")
        if run is not None and model in (SELECTED, EVENTS):
            raise ValueError(f"run goes with a model's name; entries.model={model} needs none")
        self.model = model
        self.run = None if run is None else Path(run)


class ReplayedBars:
    """Which bars are replayed."""

    def __init__(
        self, *, holdout: Literal["sealed", "open"], start: str | None, end: str | None
    ) -> None:
        first, last = day("start", start), day("end", end)
        if first is not None and last is not None and first >= last:
            raise ValueError(f"end must be later than start, {start}, was {end}")
        self.period = Period(first, last, opens_holdout=holdout == "open")


class NoEvaluator:
    """Exits by the 132 parameters alone."""


EXITS: dict[str, type] = {
    "defaults": FixedExits,
    "learned": LearnedExits,
    "barrier": BarrierExits,
}
EVALUATORS: dict[str, type] = {"none": NoEvaluator, "points": ExitEvaluator}


@dataclass(frozen=True, slots=True)
class BacktestSettings:
    """What `pipelines.backtest` is told; ``symbols`` None takes all of the manifest.

    ``learnt_until`` is set where trading begins at the end of what the exits have learnt from.
    """

    name: str
    manifest: Path
    public_key: Path | None
    source: OfBars
    symbols: list[str] | None
    seed: int
    trials: int
    entries: EntryChoice
    period: Period
    costs: Costs
    account: Account
    exits: ExitChoice
    evaluator: ExitEvaluator | None
    tracker: Tracker
    output_dir: Path | None
    learnt_until: np.datetime64 | None = None


def backtest_settings(conf: Mapping[str, Any]) -> BacktestSettings:
    """Check a composed configuration of backtest; raises ConfigError with one line."""
    values = _values(conf)
    entries: EntryChoice = section("entries", conf["entries"], EntryChoice)
    period: Period = section("replay", conf["replay"], ReplayedBars).period
    if period.opens_holdout and entries.model not in (SELECTED, EVENTS):
        raise ConfigError(
            f"replay.holdout=open: {entries.model} is not deployed, and has said nothing of a "
            f"holdout; it goes with entries.model={SELECTED} or {EVENTS}"
        )
    exits: ExitChoice = chosen("exits", conf["exits"], EXITS)
    evaluator = chosen("evaluator", conf["evaluator"], EVALUATORS)
    return BacktestSettings(
        name=values["name"],
        manifest=Path(values["manifest"]),
        public_key=checked_public_key(values["public_key"]),
        symbols=values["symbols"],
        seed=values["seed"],
        trials=values["trials"],
        entries=entries,
        period=period,
        costs=section("costs", conf["costs"], Costs),
        account=section("account", conf["account"], Account),
        exits=exits,
        evaluator=evaluator if isinstance(evaluator, ExitEvaluator) else None,
        tracker=chosen("tracking", conf["tracking"]),
        output_dir=None if values["output_dir"] is None else Path(values["output_dir"]),
        # Last: whatever else is wrong is said before a folder is looked at.
        source=source_of_bars(conf["data"], "to replay"),
    )


def _values(conf: Mapping[str, Any]) -> dict[str, Any]:
    values = root_values(conf, SCALARS, group=(*GROUPS, *SECTIONS))
    for key, least in (("seed", 0), ("trials", 1)):
        if values[key] < least:
            raise ConfigError(f"{key} must be at least {least}, was {values[key]}")
    if values["symbols"] == []:
        raise ConfigError("symbols: is empty; name at least one, or null for all")
    if values["output_dir"] is not None and not values["output_dir"].strip():
        raise ConfigError("output_dir must name a folder, or be null, was empty")
    return values
