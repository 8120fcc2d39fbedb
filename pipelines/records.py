"""What the tracker is told of a run and of each model."""

import json
import math
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from market.samples import Samples
from pipelines.descriptions import failed_data_page, model_page, registered_page
from pipelines.outcome import verdict
from selection.tuned import is_tuned
from tracking.records import (
    DatasetRecord,
    FailedData,
    FigureData,
    LoggedModel,
    ModelRecord,
    RunStart,
    Verdict,
)
from training.result import library_versions, window

EXAMPLE_ROWS = 2
LOADER = "models.store"
DIGEST_CHARS = 12

Result = Mapping[str, Any]

# What is compared in MLflow; the result file holds everything.
HISTORY = (
    "train_accuracy",
    "train_val_gap",
    "oof_gap",
    "cv_mean_accuracy",
    "cv_std_accuracy",
    "cv_min_accuracy",
    "cv_max_accuracy",
)
SCORES = ("accuracy", "log_loss", "brier", "roc_auc")
PARTS = (
    ("val", "val_metrics", "validation"),
    ("test", "test_metrics", "test"),
    ("oof", "out_of_fold", "out_of_fold"),
)


def run_name(
    name: str, started: datetime, *, n_symbols: int, n_selected: int | None, simulated: bool
) -> str:
    """Return a name that tells runs apart in a narrow column: first what came of it, then when.

    Parameters
    ----------
    name : str
        The configuration's name.
    started : datetime
        With a time zone.
    n_symbols, n_selected : int
        Symbols asked for, and those with a model to deploy; None while the run goes on.
    simulated : bool
        Whether its market is made up.
    """
    moment = started.astimezone(UTC).strftime("%m-%d %H:%M:%S")
    outcome = f"{n_symbols} symbols" if n_selected is None else f"{n_selected}/{n_symbols} selected"
    market = " · simulated" if simulated else ""
    return f"{outcome} · {moment}{market} · {name}"


def run_start(
    name: str, conf: Mapping[str, Any], *, simulated: bool | None, execution: str
) -> RunStart:
    """Return the parent run: its configuration as parameters.

    Parameters
    ----------
    simulated : bool or None
        Whether its market is made up; None where nothing says.
    execution : str
        Id that one command's work keeps through interruptions and resumptions.
    """
    tags = _run_tags(simulated=simulated)
    return RunStart(name=name, params=_flat(conf), tags=tags, execution=execution)


def model_record(
    result: Result,
    *,
    development: Samples,
    source: str,
    artifact_folder: Path,
    simulated: bool,
) -> ModelRecord:
    """Return one model's run; null models and failed ones come without files and figures."""
    symbol, model = result["symbol"], result["model_name"]
    ended = datetime.fromisoformat(result["timestamp"])
    failed = "error" in result
    candidate = not failed and not result["null_model"]
    return ModelRecord(
        symbol=symbol,
        model=model,
        params={} if failed else _params(result),
        tags=_tags(result, simulated=simulated),
        metrics={} if failed else _metrics(result),
        # A group of their own: MLflow keeps one history per name, and one section per prefix.
        curves={f"per_step/{name}": one for name, one in _curves(result).items()},
        result_json_name=f"{symbol}_{model}.json",
        result_json=json.dumps(result, indent=2, allow_nan=False),
        dataset=_dataset(symbol, development, source),
        artifact_folder=artifact_folder if candidate else None,
        loader_module=LOADER,
        pip_requirements=tuple(
            f"{name}=={version}" for name, version in library_versions().items()
        ),
        features=development.names_F,
        input_example=development.x_NF[:EXAMPLE_ROWS],
        error=result.get("error"),
        started_utc=ended - timedelta(seconds=result.get("training_duration_seconds", 0.0)),
        ended_utc=ended,
        figures=_figures(result, simulated=simulated) if candidate else None,
        registered_name=symbol if candidate else None,
        registered_description=registered_page(symbol, None),
    )


def failed_data(symbol: str, error: str, report: Path | None, *, simulated: bool) -> FailedData:
    """Return a symbol whose data could not be used."""
    tags = _run_tags(simulated=simulated)
    return FailedData(symbol, tags, error, failed_data_page(error), report)


def verdicts(
    results: Mapping[str, Mapping[str, Result]],
    selections: Mapping[str, Result],
    logged: Mapping[tuple[str, str], LoggedModel],
    *,
    simulated: bool,
) -> list[Verdict]:
    """Return what selection made of every model, null models and failed ones included."""
    return [
        Verdict(
            symbol,
            model,
            logged[symbol, model],
            text := verdict(result, selections[symbol]),
            model_page(result, text, selections[symbol], simulated=simulated),
        )
        for symbol, models in results.items()
        for model, result in models.items()
    ]


def run_tags(selections: Mapping[str, Result]) -> dict[str, str]:
    """Return the parent run's verdict."""
    chosen = [
        f"{symbol} {one['selected_model']}"
        for symbol, one in selections.items()
        if one["selected_model"] is not None
    ]
    named = f": {', '.join(chosen)}" if chosen else ""
    return {"verdict": f"{len(chosen)} of {len(selections)} selected{named}"}


def run_metrics(
    results: Mapping[str, Mapping[str, Result]], selections: Mapping[str, Result]
) -> dict[str, float]:
    """Return the parent run's counts."""
    all_results = [one for models in results.values() for one in models.values()]
    return {
        "symbols": len(selections),
        "symbols_failed": len(selections) - len(results),
        "symbols_selected": sum(one["selected_model"] is not None for one in selections.values()),
        "models_failed": sum("error" in one for one in all_results),
    }


@cache
def git_commit() -> str | None:
    """Return this code's commit (``-dirty`` where files differ), or None outside a repository."""
    git = shutil.which("git")
    if git is None:
        return None
    here = Path(__file__).resolve().parent
    describe = [git, "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40"]
    asked = subprocess.run(  # noqa: S603 - a fixed command
        [*describe, "--exclude", "*"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() if asked.returncode == 0 else None


def _run_tags(*, simulated: bool | None) -> dict[str, str]:
    commit = git_commit()
    data = "unknown" if simulated is None else "simulated" if simulated else "real"
    return {
        "data": data,
        **({} if commit is None else {"git_commit": commit}),
    }


def _tags(result: Result, *, simulated: bool) -> dict[str, str]:
    tags = {**_run_tags(simulated=simulated), "null_model": str(result["null_model"]).lower()}
    for name in ("warnings", "augmentation_failures"):
        if result.get(name):
            tags[name] = "; ".join(result[name])
    if result.get("tuning"):
        tags |= _flat(_swept(result)) | {"tuning": result["tuning"]["in_words"]}
    return tags


def _swept(result: Result) -> dict[str, Any]:
    tuning = result.get("tuning")
    return {
        "tuned": str(is_tuned(result)).lower(),
        "n_trials": tuning["n_trials"] if tuning else 0,
    }


def _params(result: Result) -> dict[str, str]:
    """Return hyperparameters, and whatever else makes two rows of a comparison differ."""
    return {
        **_flat(result["hyperparameters"]),
        **_flat(_made_with(result)),
        **_flat(result["sizes"]),
        **{f"{name}_digest": one[:DIGEST_CHARS] for name, one in result["digests"].items()},
    }


def _made_with(result: Result) -> dict[str, Any]:
    verdict_of, calibration = result["augmentation_verdict"], result["calibration"]
    augmented = (
        f"adaptive: {'adopted' if verdict_of['adopted'] else 'not adopted'}" if verdict_of else None
    )
    return {
        "strength": result["strength"]["chosen"],
        "calibration": calibration["kind"] if calibration else "none",
        "augmentation": augmented or result["augmentation"],
        "seed": result["seed"],
        **_swept(result),
    }


def _metrics(result: Result) -> dict[str, float]:
    scores, no_skill = result["out_of_fold"], result["no_skill"]["out_of_fold"]
    expectancy = result["expectancy"]["out_of_fold"]
    found: dict[str, Any] = {
        "gain_accuracy_oof": scores["accuracy"] - no_skill["accuracy"],
        "gain_log_loss_oof": no_skill["log_loss"] - scores["log_loss"],
        "oof_expectancy_r": expectancy["expectancy_r"],
        "oof_trades": expectancy["trades"],
        "training_seconds": result["training_duration_seconds"],
        **{name: result["history"].get(name) for name in HISTORY},
    }
    for prefix, metrics, part in PARTS:
        found |= {f"{prefix}_{name}": result[metrics][name] for name in SCORES}
        for name, value in result["no_skill"][part].items():
            found[f"{prefix}_{name}_no_skill"] = value
    return {name: float(value) for name, value in found.items() if value is not None}


def _figures(result: Result, *, simulated: bool) -> FigureData:
    scores, no_skill = result["out_of_fold"], result["no_skill"]["out_of_fold"]
    market = " (simulated)" if simulated else ""
    return FigureData(
        title=f"{result['symbol']} {result['model_name']}, {scores['n']} rows out of fold{market}",
        subtitle=(
            f"Accuracy {scores['accuracy']:.3f} (no skill {no_skill['accuracy']:.3f}), "
            f"log-loss {scores['log_loss']:.4f} (no skill {no_skill['log_loss']:.4f})"
        ),
        confusion=scores["confusion_matrix"],
        reliability=[
            (one["mean_probability"], one["win_rate"], one["n"]) for one in result["reliability"]
        ],
        no_skill_accuracy=no_skill["accuracy"],
        no_skill_log_loss=no_skill["log_loss"],
        curves=_curves(result),
        step="round" if "n_estimators" in result["hyperparameters"] else "epoch",
        kept_step=_kept_step(result),
        importance=[(one["feature"], one["importance"]) for one in result["feature_importance"]],
    )


def _curves(result: Result) -> dict[str, list[float]]:
    """Return the curves with NaN again where JSON has none."""
    return {
        name: [math.nan if value is None else value for value in values]
        for name, values in result.get("curves", {}).items()
    }


def _kept_step(result: Result) -> int:
    """Return the step of the lowest held-back loss, which every model that watches one keeps."""
    watched = _curves(result).get("val_loss", ())
    losses = [math.inf if math.isnan(loss) else loss for loss in watched]
    return losses.index(min(losses)) + 1 if losses else int(result["sizes"]["rounds"])


def _dataset(symbol: str, development: Samples, source: str) -> DatasetRecord:
    return DatasetRecord(
        name=symbol,
        digest=development.digest(),
        source=source,
        x_columns=development.names_F,
        n_rows=len(development),
        profile={**window(development), "base_rate": float(development.y_N.mean())},
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat
