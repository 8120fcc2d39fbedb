"""Logs what a run shows: a model with its files, a verdict, the parent's last facts."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tracking.calls import Ended
from tracking.entities import (
    DESCRIPTION,
    child_tags,
    dataset_input,
    final_metrics,
    logged_model_name,
    model_metrics,
    ms_since_epoch,
    params_of,
    registry_text,
    run_tags,
    tags_of,
    verdict_tags,
)
from tracking.figures import FigurePainter
from tracking.found import EXECUTION
from tracking.pyfunc_folder import write_pyfunc_folder
from tracking.records import LoggedModel, ModelRecord, Verdict
from tracking.registry import register
from tracking.store import Store


@dataclass(frozen=True, slots=True)
class ChildRun:
    """A run that has been begun, and what is there of it if it was begun before.

    Attributes
    ----------
    model
        MLflow's logged model, or None.
    version
        Its registered version, or None.
    has_outputs
        Whether the run names the model as its output.
    """

    run_id: str
    model: Any = None
    version: str | None = None
    has_outputs: bool = False


def log_model_run(
    store: Store,
    record: ModelRecord,
    run: ChildRun,
    *,
    execution: str,
    painter: FigurePainter | None,
    known: set[str],
) -> LoggedModel:
    """Log one model's facts, files and registered version; all may be there in part.

    Parameters
    ----------
    execution
        The tag that model and version are found by.
    painter
        Draws its figures, or None.
    known
        Names that exist in the registry, to which a new one is added.
    """
    client, run_id, model = store.client, run.run_id, run.model
    tags = {**child_tags(record), EXECUTION: execution}
    if record.artifact_folder is not None and model is None:
        model = client.create_logged_model(
            store.experiment_id,
            name=logged_model_name(record),
            source_run_id=run_id,
            tags=tags_of(tags),
        )
    model_id = None if model is None else model.model_id
    client.log_batch(run_id, model_metrics(record, model_id), params_of(record.params))
    _upload_files(client, run_id, record, painter)
    if record.dataset is not None:
        client.log_inputs(run_id, [dataset_input(record.dataset)])
    if model is None:
        return LoggedModel(run_id, None, None, None, record.registered_name)
    _upload_model(client, record, model, has_outputs=run.has_outputs)
    version = run.version or register(store, record, model, tags=tags, known=known)
    uri = f"models:/{record.registered_name}/{version}" if version else model.model_uri
    return LoggedModel(run_id, version, uri, model_id, record.registered_name)


def log_verdict(client: Any, verdict: Verdict, logged: LoggedModel) -> None:
    """Show a verdict on a model's run, on the model and on its version."""
    if logged.run_id is None:
        return
    client.log_batch(logged.run_id, tags=run_tags(verdict_tags(verdict)))
    if logged.model_id is not None:
        client.set_logged_model_tags(logged.model_id, verdict_tags(verdict))
    if logged.version is not None:
        name, version = logged.registered_name, logged.version
        client.update_model_version(name, version, registry_text(verdict.description))
        client.set_model_version_tag(name, version, "verdict", verdict.text)


def log_parent(client: Any, run_id: str, call: Ended) -> None:
    """Log the last facts of a parent run."""
    final = final_metrics(call.metrics, at_ms=ms_since_epoch(call.at), model_id=None)
    tags = {**call.tags, **({DESCRIPTION: call.description} if call.description else {})}
    client.log_batch(run_id, metrics=final, tags=run_tags(tags))
    for path, folder in call.artifacts:
        client.log_artifact(run_id, str(path), folder or None)


def _upload_files(
    client: Any, run_id: str, record: ModelRecord, painter: FigurePainter | None
) -> None:
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / record.result_json_name).write_text(record.result_json, encoding="utf-8")
        if painter is not None and record.figures is not None:
            (folder / "figures").mkdir()
            for name, png in painter.paint(record.figures).items():
                (folder / "figures" / name).write_bytes(png)
        client.log_artifacts(run_id, str(folder))


def _upload_model(client: Any, record: ModelRecord, model: Any, *, has_outputs: bool) -> None:
    from mlflow.entities import LoggedModelOutput

    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        write_pyfunc_folder(folder, record, logged_model=model)
        client.log_model_artifacts(model.model_id, str(folder))
    # The one request that the store carries out anew each time.
    if not has_outputs:
        client.log_outputs(model.source_run_id, [LoggedModelOutput(model.model_id, step=0)])
    client.finalize_logged_model(model.model_id, "READY")
