"""What is left of a run for machines: its exit code, and the statuses in ``run.json``."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pipelines.command import ALL_TRAINED, NOTHING_TRAINED, SOME_FAILED
from pipelines.preparation import Preparation
from selection import to_json_safe
from selection.tuned_in_words import tuning_record
from training.task import Failure, Task

Result = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Result]]


def exit_code(data: Preparation, candidates_of: Results, undeployed: Mapping[str, str]) -> int:
    """Return 0 where everything went as configured, 1 where no model was trained, else 3.

    ``candidates_of`` holds by symbol the results of what might have been deployed.
    """
    candidates = [one for models in candidates_of.values() for one in models.values()]
    if all("error" in one for one in candidates):
        return NOTHING_TRAINED
    impaired = any("error" in one or one["augmentation_failures"] for one in candidates)
    return SOME_FAILED if data.failed or undeployed or impaired else ALL_TRAINED


def symbol_records(
    data: Preparation, results: Results, selections: Mapping[str, Result]
) -> dict[str, Any]:
    """Return each symbol's status, rows, selection, and the status of its models."""
    return {
        symbol: {"status": "failed", "error": data.failed[symbol], "models": {}}
        if symbol in data.failed
        else _symbol_record(symbol, data, results[symbol], selection)
        for symbol, selection in selections.items()
    }


def _symbol_record(
    symbol: str, data: Preparation, models: Mapping[str, Result], selection: Result
) -> dict[str, Any]:
    prepared, report = data.prepared[symbol], data.reports[symbol]
    trained = any("error" not in one for one in models.values() if not one["null_model"])
    return {
        "status": "trained" if trained else "failed",
        "events": report.events.events,
        "development_rows": len(prepared.split.development),
        "holdout_rows": len(prepared.holdout.samples) if prepared.holdout else 0,
        "data_warnings": report.bars.warnings if report.bars else [],
        "notes": prepared.notes,
        "selected_model": selection["selected_model"],
        "reason": selection["reason"],
        "models": {name: _model_record(result) for name, result in models.items()},
    }


def _model_record(result: Result) -> dict[str, Any]:
    if "error" in result:
        return {"status": "failed", "error": result["error"]}
    if result["augmentation_failures"]:
        return {"status": "trained", "augmentation_failures": result["augmentation_failures"]}
    return {"status": "trained"}


def failed_result(task: Task, failure: Failure, *, null_model: bool) -> dict[str, Any]:
    """Return what is written of a model that could not be trained."""
    failed: dict[str, Any] = to_json_safe(
        {
            "symbol": task.symbol,
            "model_name": task.model.name,
            "timestamp": datetime.now(UTC),
            "null_model": null_model,
            "error": failure.error,
            "tuning": None if task.tuning is None else tuning_record(task.tuning),
            "warnings": failure.warnings,
            "augmentation_failures": failure.augmentation_failures,
            "training_duration_seconds": failure.duration_s,
            "cpu_seconds": failure.cpu,
        }
    )
    return failed
