"""Mirrors a training command to MLflow: a parent run, and a child run for each model."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tracking.entities import (
    child_tags,
    dataset_input,
    final_metrics,
    model_metrics,
    ms_since_epoch,
    params_of,
    tags_of,
)
from tracking.pyfunc_folder import write_pyfunc_folder
from tracking.records import (
    NOT_LOGGED,
    LoggedModel,
    ModelRecord,
    RunStart,
    Status,
)
from tracking.store import Store, check_uri, create_once, open_store, quiet, store_failures

_log = logging.getLogger(__name__)

_FAILURE_CHARS = 300


class MlflowTracker:
    """Records a training command in an MLflow store, from one process, never failing the run.

    The first failure of the store turns the tracker off: it is kept in `failure`, told once as
    a warning, and later calls return empty answers.

    Parameters
    ----------
    uri
        `sqlite:///<file>`, relative to the working directory, or a server's `http(s)://` address.
    experiment
        Name of the experiment that runs go to; created where missing.

    Raises
    ------
    ValueError
        If `uri` or `experiment` cannot be used.
    """

    def __init__(self, *, uri: str, experiment: str) -> None:
        check_uri(uri)
        if not experiment:
            raise ValueError("tracking.experiment must be a name, was empty")
        self.failure: str | None = None
        self.cpu_seconds = 0.0
        self._uri = uri
        self._experiment = experiment
        self._store: Store | None = None
        self._parent_id: str | None = None
        self._open_runs: dict[str, None] = {}
        self._registered: set[str] = set()

    def start(self, run: RunStart) -> str | None:
        """Open the store and the parent run; return its id, or None if that failed."""
        with self._attempt():
            self._store = open_store(self._uri, self._experiment)
            self._parent_id = self._create_run(self._store, run.name, run.tags, started_ms=None)
            self._store.client.log_batch(self._parent_id, params=params_of(run.params))
        return None if self.failure else self._parent_id

    def log_model(self, record: ModelRecord) -> LoggedModel:
        """Record one model as an ended child run, and register it where it has a name."""
        if self.failure is None and self._store is not None:
            with self._attempt():
                return self._log_child(self._store, record)
        return NOT_LOGGED

    def set_champion(self, registered_name: str, version: str) -> None:
        """Point the alias `champion` of a registered model at one version."""
        if self.failure is None and self._store is not None:
            with self._attempt():
                self._store.client.set_registered_model_alias(registered_name, "champion", version)

    def finish(
        self,
        *,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Sequence[Path],
        status: Status,
    ) -> None:
        """Add the last facts to the parent run and end every run that is still open.

        After a failure the facts are left out, but ending the runs is tried once more, so that a
        store which has come back shows none as running. A child that is still open was cut off:
        it never ends as FINISHED.
        """
        if self._store is None or self._parent_id is None:
            return
        if self.failure is None:
            with self._attempt():
                self._log_parent(self._store.client, self._parent_id, metrics, tags, artifacts)
        with self._attempt():
            self._end_runs(self._store.client, self._parent_id, status)

    def _log_child(self, store: Store, record: ModelRecord) -> LoggedModel:
        name = f"{record.symbol} {record.model}"
        tags = child_tags(record) | {"mlflow.parentRunId": str(self._parent_id)}
        run_id = self._create_run(store, name, tags, started_ms=ms_since_epoch(record.started_utc))
        client = store.client
        model = None
        if record.artifact_folder is not None:
            model = client.create_logged_model(
                store.experiment_id, name=record.model, source_run_id=run_id
            )
        model_id = None if model is None else model.model_id
        client.log_batch(run_id, model_metrics(record, model_id), params_of(record.params))
        client.log_text(run_id, record.result_json, record.result_json_name)
        if record.dataset is not None:
            client.log_inputs(run_id, [dataset_input(record.dataset)])
        version = uri = None
        if model is not None:
            _upload_model(client, record, model)
            version = self._register(store, record, model)
            uri = f"models:/{record.registered_name}/{version}" if version else model.model_uri
        status = "FINISHED" if record.error is None else "FAILED"
        self._end_run(client, run_id, status, ended_ms=ms_since_epoch(record.ended_utc))
        return LoggedModel(run_id=run_id, version=version, uri=uri)

    def _register(self, store: Store, record: ModelRecord, model: Any) -> str | None:
        name = record.registered_name
        if name is None:
            return None
        client = store.client
        if name not in self._registered:
            create_once(lambda: client.create_registered_model(name))
            self._registered.add(name)
        registered = client.create_model_version(
            name,
            # MLflow resolves `models:/` addresses on the server, but in a local store through
            # its process-wide default address, which the tracker leaves alone.
            source=model.artifact_location if store.is_local else f"models:/{model.model_id}",
            run_id=model.source_run_id,
            model_id=model.model_id,
            tags=child_tags(record),
            description=record.description,
            await_creation_for=0,
        )
        return str(registered.version)

    def _create_run(
        self, store: Store, name: str, tags: Mapping[str, str], *, started_ms: int | None
    ) -> str:
        run = store.client.create_run(
            store.experiment_id, start_time=started_ms, tags=tags_of(tags), run_name=name
        )
        run_id = str(run.info.run_id)
        self._open_runs[run_id] = None
        return run_id

    def _log_parent(
        self,
        client: Any,
        run_id: str,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Sequence[Path],
    ) -> None:
        from mlflow.entities import RunTag

        client.log_batch(
            run_id,
            metrics=final_metrics(metrics, at_ms=int(time.time() * 1000), model_id=None),
            tags=[RunTag(name, value) for name, value in tags_of(tags).items()],
        )
        for path in artifacts:
            client.log_artifact(run_id, str(path))

    def _end_runs(self, client: Any, parent_id: str, status: Status) -> None:
        if self.failure is not None:
            client.set_tag(parent_id, "tracking_failure", self.failure)
        cut_off = "FAILED" if status == "FINISHED" else status
        for run_id in reversed(list(self._open_runs)):
            self._end_run(client, run_id, status if run_id == parent_id else cut_off, ended_ms=None)

    def _end_run(self, client: Any, run_id: str, status: str, *, ended_ms: int | None) -> None:
        client.set_terminated(run_id, status, ended_ms)
        del self._open_runs[run_id]

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        """Count the processor time of what is tried, and turn tracking off if the store fails."""
        begun_s = time.process_time()
        try:
            with quiet():
                yield
        except store_failures() as error:
            self._turn_off(error)
        finally:
            self.cpu_seconds += time.process_time() - begun_s

    def _turn_off(self, error: Exception) -> None:
        if self.failure is None:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            self.failure = reason[:_FAILURE_CHARS]
            _log.warning("MLflow at %s failed, tracking is off: %s", self._uri, self.failure)


def _upload_model(client: Any, record: ModelRecord, model: Any) -> None:
    from mlflow.entities import LoggedModelOutput

    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        write_pyfunc_folder(folder, record, logged_model=model)
        client.log_model_artifacts(model.model_id, str(folder))
    client.log_outputs(model.source_run_id, [LoggedModelOutput(model.model_id, step=0)])
    client.finalize_logged_model(model.model_id, "READY")
