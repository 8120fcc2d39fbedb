"""Turns the tracker's records into MLflow's entities, within the limits of a store."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tracking.records import (
    DatasetRecord,
    FailedData,
    ModelRecord,
    StudyKey,
    TrialRecord,
    Verdict,
)

DESCRIPTION = "mlflow.note.content"
# A name of its own: a model's run may carry the study that it was tuned by.
STUDY = "optuna_study"
TRIAL = "trial"

# Longest texts that an MLflow store takes.
_KEY_CHARS = 250
_PARAM_CHARS = 6000
_TAG_CHARS = 8000
_DIGEST_CHARS = 36
_REGISTRY_CHARS = 5000


def child_tags(record: ModelRecord) -> dict[str, str]:
    """Collect what a child run and its registered version are found by."""
    tags = {"model": record.model, "symbol": record.symbol, **record.tags}
    if record.error is not None:
        tags |= _failure_tags(record.error)
    if record.dataset is not None:
        tags["dataset_digest"] = record.dataset.digest
    return tags


def logged_model_name(record: ModelRecord) -> str:
    """Name a model after its run, without what MLflow refuses in a model's name."""
    return re.sub(r"""[/:.%"']""", "_", f"{record.symbol} {record.model}")


def failed_data_tags(failed: FailedData) -> dict[str, str]:
    """Collect what the run of a symbol without usable data is found by."""
    shown = {"symbol": failed.symbol, DESCRIPTION: failed.description}
    return {**failed.tags, **shown, **_failure_tags(failed.error)}


def study_tags(key: StudyKey) -> dict[str, str]:
    """Collect what the run of a study is found by."""
    return {"symbol": key.symbol, "model": key.model, STUDY: key.study}


def trial_tags(key: StudyKey, trial: TrialRecord) -> dict[str, str]:
    """Collect what the run of a trial is found by."""
    error = {} if trial.error is None else {"error": trial.error}
    return {**study_tags(key), TRIAL: str(trial.number), "state": trial.state, **error}


def trial_metrics(trial: TrialRecord) -> list[Any]:
    """Turn a trial's figures and steps into MLflow's entities."""
    from mlflow.entities import Metric

    at_ms = ms_since_epoch(trial.ended_utc)
    steps = [
        Metric("objective_so_far", value, at_ms, step)
        for step, value in enumerate(trial.steps, start=1)
    ]
    return final_metrics(trial.metrics, at_ms=at_ms, model_id=None) + steps


def _failure_tags(error: str) -> dict[str, str]:
    return {"error": error, "verdict": f"failed: {error}"}


def verdict_tags(verdict: Verdict) -> dict[str, str]:
    """Make what a run and a model show of their verdict."""
    return tags_of({"verdict": verdict.text, DESCRIPTION: verdict.description})


def registry_text(description: str) -> str:
    """Cut a description to what the registry's tables hold."""
    return description[:_REGISTRY_CHARS]


def run_tags(tags: Mapping[str, str]) -> list[Any]:
    """Make tags that are set on a run which is there already."""
    from mlflow.entities import RunTag

    return [RunTag(name, value) for name, value in tags_of(tags).items()]


def model_metrics(record: ModelRecord, model_id: str | None) -> list[Any]:
    """Turn metrics (also shown with the model) and curves into MLflow's entities."""
    from mlflow.entities import Metric

    at_ms = ms_since_epoch(record.ended_utc)
    curves = [
        Metric(_key(name), value, at_ms, epoch)
        for name, values in record.curves.items()
        for epoch, value in enumerate(values, start=1)
    ]
    return final_metrics(record.metrics, at_ms=at_ms, model_id=model_id) + curves


def final_metrics(metrics: Mapping[str, float], *, at_ms: int, model_id: str | None) -> list[Any]:
    """Make metrics that have one value, at step 0."""
    from mlflow.entities import Metric

    return [
        Metric(_key(name), value, at_ms, 0, model_id=model_id) for name, value in metrics.items()
    ]


def dataset_input(dataset: DatasetRecord) -> Any:
    """Describe the rows as the training input of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    columns = [{"type": "double", "name": name, "required": True} for name in dataset.x_columns]
    profile = {
        "num_rows": dataset.n_rows,
        "num_elements": dataset.n_rows * len(dataset.x_columns),
        **dataset.profile,
    }
    return DatasetInput(
        Dataset(
            name=dataset.name,
            digest=dataset.digest[:_DIGEST_CHARS],
            source_type="local",
            source=json.dumps({"uri": dataset.source}),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps(profile),
        ),
        tags=[InputTag("mlflow.data.context", "training")],
    )


def params_of(params: Mapping[str, str]) -> list[Any]:
    """Make parameters, cut to the longest text a store takes."""
    from mlflow.entities import Param

    return [Param(_key(name), value[:_PARAM_CHARS]) for name, value in params.items()]


def tags_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Make tags, cut to the longest text a store takes."""
    return {_key(name): value[:_TAG_CHARS] for name, value in tags.items()}


def _key(name: str) -> str:
    """Replace what MLflow refuses in the name of a metric, parameter or tag."""
    return re.sub(r"[^\w.\- :/]", "_", name)[:_KEY_CHARS]


def ms_since_epoch(moment_utc: datetime) -> int:
    """Convert a moment with a time zone to the milliseconds MLflow counts in."""
    return int(moment_utc.timestamp() * 1000)
