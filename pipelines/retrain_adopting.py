"""A challenger that won takes the place: files, entry, history, and the registry's alias."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.descriptions import registered_page
from pipelines.retrain_settings import RetrainSettings
from pipelines.typed_conf import chosen
from selection import DeployedModels
from selection.amended import amend
from selection.challenger import CHALLENGE
from selection.challenger_state import ChallengerState, files_digest
from selection.challenges import Judged
from selection.deploy_history import read_history
from selection.deployed_files import DeploymentError
from selection.promotion import Swapped, copy_models, named, take_openings
from selection.stored_predictions import prediction_refusals
from tracking.tracker import NoTracker, Tracker


@dataclass(frozen=True, slots=True)
class Winner:
    """A challenger that takes the place."""

    state: ChallengerState
    models: DeployedModels
    judged: Judged

    @property
    def entry(self) -> dict[str, Any]:
        """Its entry in the live manifest: as it was trained, and how it won."""
        selection = self.models.selection(self.state.symbol)
        return {**selection, CHALLENGE: _told(self.state, self.judged)}


def place_files(settings: RetrainSettings, winner: Winner) -> None:
    """Copy a winner's files, and openings of holdouts, to beside the live manifest.

    Raises
    ------
    DeploymentError
        If a file is not what was trained.
    OSError
        If a file cannot be read or written.
    """
    folder, manifest = winner.models.folder, winner.models.manifest
    there, symbol = settings.manifest.parent, winner.state.symbol
    copy_models(folder, there, manifest)
    take_openings(folder, there, manifest)
    if lines := prediction_refusals(there, symbol, winner.entry):
        raise DeploymentError("; ".join(lines))


def adopt(
    settings: RetrainSettings, deployed: DeployedModels, winners: Sequence[Winner]
) -> Swapped:
    """Make a manifest live in which the winners stand in their champions' place.

    Their files are in place already. One manifest holds all winners, so that one rollback takes
    them all back.

    Raises
    ------
    DeploymentError
        If the live manifest is another by now, or cannot be replaced.
    OSError
        If a file cannot be read or written, or another writer holds the manifest.
    """
    live = settings.manifest
    came_from = [one.models.manifest.get("provenance", {}) for one in winners]
    run_ids = {one.get("run_id") for one in came_from if one.get("run_id")}
    return amend(
        live,
        {one.state.symbol: one.entry for one in winners},
        action="retrain",
        reason="; ".join(
            f"{one.state.symbol}: {one.state.model} for {one.state.champion_model or 'none'}: "
            f"{one.judged.reason}"
            for one in winners
        ),
        expected_sha256=deployed.sha256,
        now_utc=datetime.now(UTC),
        key=settings.train.signing_key,
        provenance={"run_id": run_ids.pop()} if len(run_ids) == 1 else {},
    )


def was_taken_back(settings: RetrainSettings, state: ChallengerState, files: str | None) -> bool:
    """Tell whether a challenger's files were live once: its champion is back by an order."""
    live = settings.manifest
    for one in read_history(live).deployments:
        if one.action != "retrain" or one.outcome != "live":
            continue
        with suppress(DeploymentError, OSError):
            manifest, _ = named(live, one.manifest_sha256)
            if files_digest(manifest["selections"].get(state.symbol, {})) == files:
                return True
    return False


def moved_aliases(
    settings: RetrainSettings, conf: Mapping[str, Any], winners: Mapping[str, DeployedModels]
) -> list[str]:
    """Point the registry's champions at the winners; return a line where that was not done.

    Done again, it changes nothing.
    """
    tracker: Tracker = chosen("tracking", conf["tracking"])
    if not settings.train.promotes or isinstance(tracker, NoTracker):
        return []
    notes = []
    for symbol, models in winners.items():
        version = models.selection(symbol).get("model_version")
        if version is None:
            notes.append(
                f"{symbol}: no registered version is known: the registry's alias stays where it is"
            )
            continue
        kept = tracker.promote(
            symbol,
            str(version),
            simulated=models.manifest.get("provenance", {}).get("simulated") is not False,
            description=registered_page(symbol, settings.manifest),
            manifest=settings.manifest,
        )
        if kept is not None:
            notes.append(f"{symbol}: {kept}")
    tracker.close()
    if tracker.failure:
        notes.append(f"tracking: {tracker.failure}")
    return notes


def _told(state: ChallengerState, judged: Judged) -> dict[str, Any]:
    """Return what the entry says of the judgement: the events in it are read."""
    return {
        "champion": state.champion_model,
        "alarm": state.alarm,
        "trained_until": state.trained_until,
        "challenger_manifest_sha256": state.manifest_sha256,
        "from": judged.from_utc,
        "until": judged.until_utc,
        "rows": judged.rows,
        "effective_rows": judged.effective_rows,
        "log_loss": judged.log_loss,
        "champion_log_loss": judged.champion_log_loss,
        "gain": judged.gain,
        "standard_error": judged.standard_error,
        "p_evidence": judged.p_evidence,
        "p_advantage": judged.p_advantage,
        "p_adjusted": judged.p_adjusted,
        "family": judged.family,
        "alpha": judged.alpha,
        "in_words": judged.reason,
    }
