"""One store with a finished run, read by every test of the tracker, and how they ask it."""

import shutil
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest

from tests.tracking.sample_records import PARENT, bare_record, failed_record, full_record, new_run
from tracking.mlflow_tracker import MlflowTracker
from tracking.records import NOT_LOGGED, FailedData, Verdict
from tracking.store import open_store, quiet

NO_FACTS = {"metrics": {}, "tags": {}, "artifacts": []}


def broken_data(root):
    report = root / "GBPUSD.json"
    report.write_text('{"error": "no rows"}')
    return FailedData("GBPUSD", {"data": "simulated"}, "GBPUSD.csv: no rows", "No rows", report)


def promoted(tracker, version, *, name="EURUSD", simulated=True):
    return tracker.promote(name, version, simulated=simulated, description="Alias champion.")


def champion(client, name="EURUSD"):
    return str(client.get_model_version_by_alias(name, "champion").version)


def reading_client(root):
    from mlflow import MlflowClient

    uri = f"sqlite:///{root}/mlflow.db"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def new_tracker(uri, *, figures=False, queue=None, patience_s=10.0):
    return MlflowTracker(
        uri=uri, experiment="train_all", figures=figures, queue=queue, patience_s=patience_s
    )


def fill_the_disk(*_args):
    raise OSError(28, "No space left on device")


def statuses(client, experiment="train_all"):
    found = client.get_experiment_by_name(experiment)
    return {run.info.status for run in client.search_runs([found.experiment_id])}


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A database with all its tables and nothing in them, which takes seconds to make."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    with quiet():
        open_store(f"sqlite:///{file}", "unused")
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


@pytest.fixture
def store_folder(empty_store, tmp_path):
    """A folder with a store of its own, `mlflow.db`."""
    shutil.copy(empty_store, tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("store with a space")


@pytest.fixture(scope="session")
def logged(root):
    tracker = new_tracker(f"sqlite:///{root}/mlflow.db", figures=True)
    parent_id = tracker.start(PARENT)
    full = tracker.log_model(full_record(root / "first"))
    second = tracker.log_model(full_record(root / "second", probability=0.25))
    bare = tracker.log_model(bare_record(root / "saved"))
    failed = tracker.log_model(failed_record(root / "saved"))
    tracker.log_failed_data(broken_data(root))
    tracker.log_verdicts(
        [
            Verdict("EURUSD", "RandomForest", full, "selected", "Selected: **0.61**"),
            Verdict("EURUSD", "RandomForest", second, "refused: too weak", "Refused"),
            Verdict("EURUSD", "Bare", bare, "refused: bare", "Refused"),
            Verdict("EURUSD", "LSTM", failed, "failed: loss was NaN", "Failed"),
            Verdict("EURUSD", "MLP", NOT_LOGGED, "selected", "Never logged"),
        ]
    )
    assert promoted(tracker, full.version) is None
    report = root / "report.html"
    report.write_text("<p>done</p>")
    tracker.finish(
        metrics={"deployed": 1.0},
        tags={"end": "ok"},
        artifacts=[(report, ""), (report, "data")],
        status="FINISHED",
        name="renamed",
        description="| symbol | model |",
    )
    assert tracker.failure is None
    return SimpleNamespace(
        tracker=tracker,
        client=reading_client(root),
        parent_id=parent_id,
        full=full,
        second=second,
        bare=bare,
        failed=failed,
    )


@pytest.fixture
def tracker(root, logged):
    """A new tracker with an open parent run on the shared store."""
    tracker = new_tracker(f"sqlite:///{root}/mlflow.db", figures=True)
    tracker.start(new_run())
    yield tracker
    tracker.close()


@pytest.fixture
def default_store(root, monkeypatch):
    """The shared store as the one that MLflow's loading functions look in."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
