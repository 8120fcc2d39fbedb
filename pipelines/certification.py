"""Selection of a whole run: what may be deployed of each symbol, and the manifest that says so."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from market.data_report import DataReport
from pipelines import records
from pipelines.preparation import Preparation
from pipelines.readings import gravest_warning
from pipelines.settings import TrainSettings
from pipelines.tuned_in_selection import swept, why_no_help
from selection import ModelSelector, to_json_safe
from selection.atomic import NO_ROOM
from selection.certified import COUNCIL
from selection.holdout_ledger import REAL_MARKET
from selection.poor_performers import NO_DATA
from selection.selector import nothing_selected
from selection.tuned import is_tuned, n_trials
from tracking.records import LoggedModel
from training.certify import Definitions, Look, deployable, described, known_windows, refused
from training.prepare import Prepared
from training.result import library_versions

Result = dict[str, Any]
# Of a selection: where the registry has its model.
PASSING = ("model_version", "model_uri")


@dataclass(frozen=True, slots=True)
class Certified:
    """Outcome of the selection.

    Attributes
    ----------
    selections : dict
        By symbol, in the order of the configuration, as the manifest holds them.
    undeployed : dict of str to str
        Why a model that was chosen could not be stored, by symbol.
    """

    selections: dict[str, Result]
    undeployed: dict[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """What identifies a run to whoever asks later which one opened a holdout."""

    run_id: str | None
    execution: str
    simulated: bool


def candidates(
    results: Mapping[str, Mapping[str, Result]], *, council: bool
) -> dict[str, dict[str, Result]]:
    """Return what may be deployed: everything but the null models, with or without the council."""
    return {
        symbol: {
            name: one
            for name, one in models.items()
            if not one["null_model"] and (council or name != COUNCIL)
        }
        for symbol, models in results.items()
    }


def selected_by_reference(
    selector: ModelSelector, results: Mapping[str, Mapping[str, Result]]
) -> dict[str, Result]:
    """Select by the reference rule, which knows no council."""
    known = {
        symbol: {name: one for name, one in models.items() if name != COUNCIL}
        for symbol, models in results.items()
    }
    selections = selector.select_best_models(known)
    for symbol, selection in selections.items():
        chosen = selection["selected_model"]
        otherwise = selection["reason"] if chosen is None else f"{chosen} has the better score"
        if chosen is not None and is_tuned(known[symbol][chosen]):
            trials = n_trials(known[symbol][chosen])
            selection["reason"] += f", tuned ({trials}): its test rows were used to adopt it"
        selection["refused"] = {
            name: "; ".join(selector.failures(result)) or otherwise
            for name, result in known[symbol].items()
            if name != chosen
        }
        if COUNCIL in results[symbol]:
            selection["refused"][COUNCIL] = "the reference rule knows no council"
    return selections


def certify(
    settings: TrainSettings,
    conf: Mapping[str, Any],
    data: Preparation,
    results: Mapping[str, Mapping[str, Result]],
    selections: Mapping[str, Result],
    logged: Mapping[tuple[str, str], LoggedModel],
    *,
    models_folder: Path,
    predictions_folder: Path,
    run: Run,
) -> Certified:
    """Describe what was selected per symbol, store what is chosen, and only then open its holdout.

    What cannot be stored, or whose holdout's opening cannot be recorded, is not deployed.
    """
    found = {symbol: refused(f"{NO_DATA}: {error}") for symbol, error in data.failed.items()}
    undeployed: dict[str, str] = {}
    for symbol, selection in selections.items():
        prepared, models = data.prepared[symbol], results[symbol]
        selection = described(
            _unless_suspect(selection, prepared),
            models,
            prepared,
            definitions=_definitions(conf, data.reports[symbol]),
            reference=_reference(settings),
        )
        bars = data.reports[symbol].bars
        selection["data_warnings"] = list(bars.warnings) if bars else []
        # Also of a symbol without a model: whoever replays its bars must know where they may begin
        # and end.
        selection["windows"] = known_windows(prepared)
        selection["data_digest"] = data.digests[symbol]
        model = selection["selected_model"]
        if model is not None:
            registered = logged[symbol, model]
            selection |= {"model_version": registered.version, "model_uri": registered.uri}
            try:
                selection = deployable(
                    selection,
                    models[model],
                    prepared,
                    model_folder=models_folder / f"{symbol}_{model}",
                    predictions=predictions_folder / f"{symbol}_{model}.parquet",
                    deploy_folder=settings.manifest_path.parent,
                    payoff=settings.payoff,
                    look=_look(data.digests[symbol], run) if settings.opens_holdout else None,
                )
            except (ValueError, OSError) as error:
                if isinstance(error, OSError) and error.errno in NO_ROOM:
                    # What is live stays, rather than lose a model for want of room.
                    raise
                undeployed[symbol] = f"Could not be deployed: {error}"
                selection = refused(undeployed[symbol])
        found[symbol] = {**selection, **_of_the_sweep(selection, models, data, symbol)}
    return Certified({symbol: found[symbol] for symbol in settings.symbols}, undeployed)


def _of_the_sweep(
    selection: Result, models: Mapping[str, Result], data: Preparation, symbol: str
) -> Result:
    """Return what a selection says of a sweep; nothing where there was none."""
    found = swept(models)
    warning = gravest_warning(data.reports[symbol].bars)
    note = why_no_help(selection, models, data.prepared[symbol], warning)
    said = {"tuning": found or None, "note": note}
    return {key: value for key, value in said.items() if value is not None}


def _look(source: str, run: Run) -> Look:
    market = source if run.simulated else REAL_MARKET
    return Look(source, market, run.run_id, run.execution)


def _unless_suspect(selection: Result, prepared: Prepared) -> Result:
    """Take back what evidence speaks for where it may be the future that speaks."""
    chosen = selection["selected_model"]
    if chosen is None or not selection.get("evidence") or not prepared.suspect:
        return selection
    reason = (
        f"Signal is there, but {prepared.suspect[0]}; leave it out or, if it is, raise "
        "training.max_feature_auc"
    )
    kept = {name: one for name, one in selection.items() if name != "expected_accuracy"}
    refused_too = {**selection["refused"], chosen: reason}
    return {**kept, **nothing_selected(reason), "refused": refused_too}


def write_manifest(
    settings: TrainSettings,
    selections: Mapping[str, Result],
    *,
    execution: str,
    run_id: str | None,
    simulated: bool,
    conf_digest: str,
    cost_atr: float,
) -> None:
    """Write the deployment manifest with where its models come from.

    One that an earlier start of the same work has written, with the same selections, stays: what
    was live before it is what a rollback leads to.
    """
    if _is_live(settings.manifest_path, selections, execution):
        return
    _reference(settings).save_deployment_manifest(
        selections,
        settings.manifest_path,
        provenance={
            "run_id": run_id,
            "execution": execution,
            "selection": "reference" if settings.selector is _reference(settings) else "certified",
            "simulated": simulated,
            "git_commit": records.git_commit(),
            "conf_digest": conf_digest,
            "library_versions": library_versions(),
            "seed": settings.seed,
            "costs_atr": cost_atr,
        },
        key=settings.signing_key,
    )


def _is_live(path: Path, selections: Mapping[str, Result], execution: str) -> bool:
    try:
        live = json.loads(path.read_text(encoding="utf-8"))
        if live["provenance"]["execution"] != execution:
            return False
        return bool(_lasting(live["selections"]) == _lasting(to_json_safe(selections)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _lasting(selections: Mapping[str, Result]) -> dict[str, Result]:
    """Return selections without what another start may find otherwise."""
    lasting = {
        symbol: {key: value for key, value in one.items() if key not in PASSING}
        for symbol, one in selections.items()
    }
    for one in lasting.values():
        if isinstance(holdout := one.get("holdout"), Mapping):
            one["holdout"] = {key: value for key, value in holdout.items() if key != "openings"}
    return lasting


def _reference(settings: TrainSettings) -> ModelSelector:
    """Return the reference rule, whose numbers every selection shows."""
    selector = settings.selector
    return selector if isinstance(selector, ModelSelector) else selector.reference


def _definitions(conf: Mapping[str, Any], report: DataReport) -> Definitions:
    if report.bars is None:
        barriers = {key: conf["labels"][key] for key in ("profit_atr", "stop_atr")}
        return Definitions(None, {"kind": "table", **barriers}, conf["split"])
    definition = {
        "features": conf["features"],
        "events": conf["events"],
        "bar_length_s": report.bars.bar_length_s,
    }
    return Definitions(definition, conf["labels"], conf["split"])
