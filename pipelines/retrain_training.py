"""One challenger trained, by the ordinary run, beside what is live and with no hand on it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from market.bars_until import BarsUntil
from market.splits import RowsFrom
from pipelines.command import NOTHING_TRAINED
from pipelines.cost import RunCost
from pipelines.retrain_calls import Call, naive
from pipelines.retrain_settings import RetrainSettings, training_conf
from pipelines.settings import TrainSettings, train_settings
from pipelines.training_run import TrainingRun
from pipelines.tuned import tuning_of
from selection.challenger_state import (
    ChallengerState,
    challenger_manifest,
    changed,
    files_digest,
    new_folder,
    put_back,
    remove_others,
    write_state,
)
from selection.live_manifest import sha256_of


@dataclass(frozen=True, slots=True)
class Wanted:
    """A challenger that is to be trained.

    Attributes
    ----------
    call : Call
    before : ChallengerState or None
        What is known of the symbol's challenger before.
    until : datetime
        Bars that close later are not there for it, UTC.
    goes_on : bool
        Whether it is one whose training was cut off.
    """

    call: Call
    before: ChallengerState | None
    until: datetime
    goes_on: bool

    @property
    def symbol(self) -> str:
        """Whose."""
        return self.call.symbol


class NotTrainedError(ValueError):
    """A challenger of which nothing could be trained, in one line."""


def trained_challenger(
    settings: RetrainSettings,
    conf: Mapping[str, Any],
    wanted: Wanted,
    champion: Mapping[str, Any],
) -> ChallengerState:
    """Train a symbol's challenger on the bars up to a moment, and write down what came of it.

    Started again after a kill, it goes on where it was cut off. What was known before is given up
    where there is another challenger, or none can be made; a challenger that waits stays then.

    Parameters
    ----------
    settings, conf : RetrainSettings, mapping
        As the command was told.
    wanted : Wanted
    champion : mapping
        The symbol's entry in the live manifest.

    Raises
    ------
    NotTrainedError
        If its data cannot be used, or every model failed.
    ConfigError, OSError
        If it cannot be trained as configured, or a file cannot be written; what was known before
        stands.
    """
    live, symbol, before = settings.manifest, wanted.symbol, wanted.before
    now_utc = datetime.now(UTC)
    state = ChallengerState(
        symbol=symbol,
        status="training",
        reason="being trained",
        folder=before.folder if wanted.goes_on and before else new_folder(now_utc),
        trained_until=wanted.until,
        alarm=wanted.call.alarm,
        champion=files_digest(champion),
        champion_model=champion["selected_model"],
        changed_utc=now_utc,
    )
    path = challenger_manifest(live, state)
    own = _challenger_conf(conf, symbol, path)
    train = _cut(train_settings(own), settings, wanted.until)
    told = {**own, "until": wanted.until.isoformat(), "learn_from": conf["learn_from"]}
    # What it refuses it refuses here, before anything is written.
    run = TrainingRun(train, told, RunCost())
    write_state(live, state)
    try:
        state = _ended(state, path, is_trained=run.run() != NOTHING_TRAINED, failed=run.data.failed)
    except (ValueError, OSError):
        put_back(live, symbol, before)
        raise
    if state.model is None and state.manifest_sha256 is None:
        waits = before is not None and before.status == "waiting"
        put_back(live, symbol, before if waits else state)
        raise NotTrainedError(f"{symbol}: {state.reason}")
    write_state(live, state)
    remove_others(live, state)
    return state


def check_tuned(settings: RetrainSettings, conf: Mapping[str, Any]) -> None:
    """Refuse a sweep that no challenger could take anything from; raises ConfigError."""
    if settings.train.tuned is not None:
        last = np.datetime64("9999-12-31", "us")
        tuning_of(replace(settings.train, source=BarsUntil(settings.source, last)), conf)


def _ended(
    state: ChallengerState, path: Path, *, is_trained: bool, failed: Mapping[str, str]
) -> ChallengerState:
    """Return what a training that has ended makes of a state."""
    now_utc = datetime.now(UTC)
    if not is_trained:
        why = failed.get(state.symbol, "every model failed, see above")
        reason = f"no challenger could be trained: {why.removeprefix(f'{state.symbol}: ')}"
        return changed(state, now_utc, status="dismissed", reason=reason)
    content = path.read_bytes()
    selection = json.loads(content)["selections"][state.symbol]
    model = selection["selected_model"]
    return changed(
        state,
        now_utc,
        status="dismissed" if model is None else "waiting",
        reason=f"Its training selects nothing: {selection['reason']}"
        if model is None
        else "Trained; waits for later events",
        model=model,
        manifest_sha256=sha256_of(content),
    )


def _challenger_conf(conf: Mapping[str, Any], symbol: str, path: Path) -> dict[str, Any]:
    """Return the configuration of train_all that trains one challenger.

    Without a holdout: the newest rows are those that a drift is about, and the bars that will judge
    it come later.
    """
    own = training_conf(conf)
    output_dir = own["output_dir"]
    if "holdout_fraction" in own["split"]:
        own["split"] = {**own["split"], "holdout_fraction": 0.0}
    return {
        **own,
        "symbols": [symbol],
        "manifest": {**own["manifest"], "path": str(path)},
        "deploy": {**own["deploy"], "promote": "never"},
        "output_dir": None if output_dir is None else str(Path(output_dir) / symbol),
    }


def _cut(train: TrainSettings, settings: RetrainSettings, until: datetime) -> TrainSettings:
    """Return settings that see what a challenger may learn from, and nothing else."""
    cut = replace(train, source=BarsUntil(settings.source, naive(until)))
    if settings.learn_from is None or isinstance(cut.split, RowsFrom):
        return cut
    return replace(cut, split=RowsFrom(cut.split, settings.learn_from))
