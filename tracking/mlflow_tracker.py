"""Mirrors a training command to MLflow: a parent run, and a child run for each model."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tracking.entities import (
    DESCRIPTION,
    child_tags,
    dataset_input,
    failed_data_tags,
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
from tracking.failures import failure_line, raised, store_failures
from tracking.figures import FigurePainter
from tracking.pyfunc_folder import write_pyfunc_folder
from tracking.records import (
    NOT_LOGGED,
    FailedData,
    LoggedModel,
    ModelRecord,
    RunStart,
    Status,
    Verdict,
)
from tracking.registry import promote, register
from tracking.store import Store, check_uri, open_store, quiet

_log = logging.getLogger(__name__)


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
    figures
        Whether pictures of each model are drawn and kept with its run.

    Raises
    ------
    ValueError
        If `uri` or `experiment` cannot be used.
    """

    def __init__(self, *, uri: str, experiment: str, figures: bool) -> None:
        check_uri(uri)
        if not experiment:
            raise ValueError("tracking.experiment must be a name, was empty")
        self.failure: str | None = None
        self.cpu_seconds = 0.0
        self._uri = uri
        self._experiment = experiment
        self._store: Store | None = None
        self._parent_id: str | None = None
        self._parent_name = ""
        self._open_runs: dict[str, None] = {}
        self._registered: set[str] = set()
        self._painter = FigurePainter() if figures else None

    def start(self, run: RunStart) -> str | None:
        """Open the store and the parent run; return its id, or None if that failed."""
        with self._attempt():
            self._store = open_store(self._uri, self._experiment)
            self._parent_name = run.name
            self._parent_id = self._create_run(self._store, run.name, run.tags, started_ms=None)
            self._store.client.log_batch(self._parent_id, params=params_of(run.params))
        return None if self.failure else self._parent_id

    def log_model(self, record: ModelRecord) -> LoggedModel:
        """Record one model as an ended child run, and register it where it has a name."""
        if self.failure is None and self._store is not None:
            with self._attempt():
                return self._log_child(self._store, record)
        return NOT_LOGGED

    def log_failed_data(self, failed: FailedData) -> None:
        """Record a symbol that could not be trained as a failed child run."""
        if self.failure is None and self._store is not None:
            with self._attempt():
                client = self._store.client
                run_id = self._create_child(
                    self._store, f"{failed.symbol} data", failed_data_tags(failed), started_ms=None
                )
                if failed.report is not None:
                    client.log_artifact(run_id, str(failed.report), "data")
                self._end_run(client, run_id, "FAILED", ended_ms=None)

    def log_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Add verdict and description to the runs, models and versions that were logged."""
        if self.failure is None and self._store is not None:
            with self._attempt():
                for verdict in verdicts:
                    _log_verdict(self._store.client, verdict)

    def promote(
        self,
        registered_name: str,
        version: str,
        *,
        simulated: bool,
        description: str,
        manifest: Path | None = None,
    ) -> str | None:
        """Point the alias `champion` at one version, unless simulated data would displace real."""
        if self.failure is None and self._store is not None:
            with self._attempt():
                return promote(
                    self._store.client,
                    registered_name,
                    version,
                    simulated=simulated,
                    description=description,
                    manifest=manifest,
                )
        return None

    def finish(
        self,
        *,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Sequence[tuple[Path, str]],
        status: Status,
        name: str | None = None,
        description: str = "",
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
                client, parent_id = self._store.client, self._parent_id
                if name is not None:
                    client.update_run(parent_id, name=name)
                tags = {**tags, **({DESCRIPTION: description} if description else {})}
                _log_parent(client, parent_id, metrics, tags, artifacts)
        with self._attempt():
            self._end_runs(self._store, self._parent_id, status)

    def _log_child(self, store: Store, record: ModelRecord) -> LoggedModel:
        name, tags = f"{record.symbol} {record.model}", child_tags(record)
        started_ms = ms_since_epoch(record.started_utc)
        run_id = self._create_child(store, name, tags, started_ms=started_ms)
        client = store.client
        model = None
        if record.artifact_folder is not None:
            model = client.create_logged_model(
                store.experiment_id,
                name=logged_model_name(record),
                source_run_id=run_id,
                tags=tags_of(tags),
            )
        model_id = None if model is None else model.model_id
        client.log_batch(run_id, model_metrics(record, model_id), params_of(record.params))
        self._upload_files(client, run_id, record)
        if record.dataset is not None:
            client.log_inputs(run_id, [dataset_input(record.dataset)])
        version = uri = None
        if model is not None:
            _upload_model(client, record, model)
            version = register(store, record, model, known=self._registered)
            uri = f"models:/{record.registered_name}/{version}" if version else model.model_uri
        status = "FINISHED" if record.error is None else "FAILED"
        self._end_run(client, run_id, status, ended_ms=ms_since_epoch(record.ended_utc))
        return LoggedModel(run_id, version, uri, model_id, record.registered_name)

    def _upload_files(self, client: Any, run_id: str, record: ModelRecord) -> None:
        with TemporaryDirectory() as scratch:
            folder = Path(scratch)
            (folder / record.result_json_name).write_text(record.result_json, encoding="utf-8")
            if self._painter is not None and record.figures is not None:
                (folder / "figures").mkdir()
                for name, png in self._painter.paint(record.figures).items():
                    (folder / "figures" / name).write_bytes(png)
            client.log_artifacts(run_id, str(folder))

    def _create_child(
        self, store: Store, name: str, tags: Mapping[str, str], *, started_ms: int | None
    ) -> str:
        """Open a run beneath the parent, whose name it carries: children are compared by it."""
        parent = {"mlflow.parentRunId": str(self._parent_id), "run": self._parent_name}
        return self._create_run(store, name, {**tags, **parent}, started_ms=started_ms)

    def _create_run(
        self, store: Store, name: str, tags: Mapping[str, str], *, started_ms: int | None
    ) -> str:
        run = store.client.create_run(
            store.experiment_id, start_time=started_ms, tags=tags_of(tags), run_name=name
        )
        run_id = str(run.info.run_id)
        self._open_runs[run_id] = None
        return run_id

    def _end_runs(self, store: Store, parent_id: str, status: Status) -> None:
        client = store.client
        if status == "KILLED":
            # An interrupt may come after a run is made and before its id is known here.
            below = f"tags.`mlflow.parentRunId` = '{parent_id}' AND attributes.status = 'RUNNING'"
            found = client.search_runs([store.experiment_id], below)
            self._open_runs |= dict.fromkeys(run.info.run_id for run in found)
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
        _log.debug("MLflow raised %s", raised(self._uri, error))
        if self.failure is None:
            self.failure = failure_line(self._uri, error)
            _log.warning("tracking is off: %s", self.failure)


def _log_verdict(client: Any, verdict: Verdict) -> None:
    logged = verdict.logged
    if logged.run_id is None:
        return
    client.log_batch(logged.run_id, tags=run_tags(verdict_tags(verdict)))
    if logged.model_id is not None:
        client.set_logged_model_tags(logged.model_id, verdict_tags(verdict))
    if logged.version is not None:
        name, version = logged.registered_name, logged.version
        client.update_model_version(name, version, registry_text(verdict.description))
        client.set_model_version_tag(name, version, "verdict", verdict.text)


def _log_parent(
    client: Any,
    run_id: str,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    artifacts: Sequence[tuple[Path, str]],
) -> None:
    at_ms = int(time.time() * 1000)
    final = final_metrics(metrics, at_ms=at_ms, model_id=None)
    client.log_batch(run_id, metrics=final, tags=run_tags(tags))
    for path, folder in artifacts:
        client.log_artifact(run_id, str(path), folder or None)


def _upload_model(client: Any, record: ModelRecord, model: Any) -> None:
    from mlflow.entities import LoggedModelOutput

    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        write_pyfunc_folder(folder, record, logged_model=model)
        client.log_model_artifacts(model.model_id, str(folder))
    client.log_outputs(model.source_run_id, [LoggedModelOutput(model.model_id, step=0)])
    client.finalize_logged_model(model.model_id, "READY")
