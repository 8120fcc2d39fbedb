"""Selection of a whole run: what may be deployed of each symbol, and the manifest that says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from market.data_report import DataReport
from pipelines import records
from pipelines.preparation import Preparation
from pipelines.settings import TrainSettings
from tracking.records import LoggedModel
from training.certify import Definitions, deployable, described, refused
from training.result import Payoff, library_versions

Result = dict[str, Any]


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


def certify(
    settings: TrainSettings,
    conf: Mapping[str, Any],
    data: Preparation,
    results: Mapping[str, Mapping[str, Result]],
    logged: Mapping[tuple[str, str], LoggedModel],
    *,
    models_folder: Path,
    payoff: Payoff,
) -> Certified:
    """Select per symbol, store what is chosen, and only then open its holdout."""
    candidates = {
        symbol: {name: one for name, one in models.items() if not one["null_model"]}
        for symbol, models in results.items()
    }
    found = {
        symbol: refused(f"Data could not be used: {error}") for symbol, error in data.failed.items()
    }
    undeployed: dict[str, str] = {}
    for symbol, selection in settings.selector.select_best_models(candidates).items():
        prepared, models = data.prepared[symbol], results[symbol]
        selection = described(
            selection,
            models,
            prepared,
            definitions=_definitions(conf, data.reports[symbol]),
            selector=settings.selector,
        )
        bars = data.reports[symbol].bars
        selection["data_warnings"] = list(bars.warnings) if bars else []
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
                    deploy_folder=settings.manifest_path.parent,
                    payoff=payoff,
                )
            except (ValueError, OSError) as error:
                undeployed[symbol] = f"Artifacts could not be stored: {error}"
                selection = refused(undeployed[symbol])
        found[symbol] = selection
    return Certified({symbol: found[symbol] for symbol in settings.symbols}, undeployed)


def write_manifest(
    settings: TrainSettings,
    selections: Mapping[str, Result],
    *,
    run_id: str | None,
    simulated: bool,
    conf_digest: str,
    cost_atr: float,
) -> None:
    """Write the deployment manifest with where its models come from."""
    settings.selector.save_deployment_manifest(
        selections,
        settings.manifest_path,
        provenance={
            "run_id": run_id,
            "simulated": simulated,
            "git_commit": records.git_commit(),
            "conf_digest": conf_digest,
            "library_versions": library_versions(),
            "seed": settings.seed,
            "costs_atr": cost_atr,
        },
    )


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
