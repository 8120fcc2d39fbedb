"""What the tracker is told of a run and of each model."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from market.samples import Samples
from tracking.records import DatasetRecord, ModelRecord, RunStart
from training.result import library_versions, window

EXAMPLE_ROWS = 2
LOADER = "models.store"


def run_start(name: str, conf: Mapping[str, Any], *, simulated: bool) -> RunStart:
    """Return the parent run: its configuration as parameters."""
    return RunStart(name=name, params=_flat(conf), tags=_run_tags(simulated=simulated))


def model_record(
    result: Mapping[str, Any],
    *,
    development: Samples,
    source: str,
    artifact_folder: Path,
    simulated: bool,
) -> ModelRecord:
    """Return one model's run; null models and failed ones come without files."""
    symbol, model = result["symbol"], result["model_name"]
    ended = datetime.fromisoformat(result["timestamp"])
    failed = "error" in result
    candidate = not failed and not result["null_model"]
    return ModelRecord(
        symbol=symbol,
        model=model,
        params={} if failed else _flat(result["hyperparameters"]),
        tags=_tags(result, simulated=simulated),
        metrics={} if failed else _metrics(result),
        # Named apart from the final metrics: MLflow keeps one history per name.
        curves={f"epoch_{name}": values for name, values in result.get("curves", {}).items()},
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
        registered_name=symbol if candidate else None,
        description="" if failed else _description(result),
    )


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


def _run_tags(*, simulated: bool) -> dict[str, str]:
    commit = git_commit()
    return {
        "data": "simulated" if simulated else "real",
        **({} if commit is None else {"git_commit": commit}),
    }


def _tags(result: Mapping[str, Any], *, simulated: bool) -> dict[str, str]:
    tags = {**_run_tags(simulated=simulated), "null_model": str(result["null_model"]).lower()}
    warned = "; ".join(result.get("warnings", ()))
    return {**tags, "warnings": warned} if warned else tags


def _metrics(result: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, Any] = {
        "training_seconds": result["training_duration_seconds"],
        "label_uniqueness": result["label_uniqueness"],
        **result["history"],
    }
    for prefix, key in (("val", "val_metrics"), ("test", "test_metrics"), ("oof", "out_of_fold")):
        found |= {f"{prefix}_{name}": value for name, value in result[key].items()}
    for part, scores in result["no_skill"].items():
        found |= {f"no_skill_{part}_{name}": value for name, value in scores.items()}
    for part, scores in result["expectancy"].items():
        found[f"expectancy_r_{part}"] = scores["expectancy_r"]
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _dataset(symbol: str, development: Samples, source: str) -> DatasetRecord:
    return DatasetRecord(
        name=symbol,
        digest=development.digest(),
        source=source,
        x_columns=development.names_F,
        n_rows=len(development),
        profile={**window(development), "base_rate": float(development.y_N.mean())},
    )


def _description(result: Mapping[str, Any]) -> str:
    scores, no_skill = result["out_of_fold"], result["no_skill"]["out_of_fold"]
    return (
        f"{result['model_name']} for {result['symbol']}: out-of-fold accuracy "
        f"{scores['accuracy']:.3f} (no skill {no_skill['accuracy']:.3f}), log-loss "
        f"{scores['log_loss']:.4f} (no skill {no_skill['log_loss']:.4f})"
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat
