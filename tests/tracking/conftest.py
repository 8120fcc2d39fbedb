"""One store with a finished run, read by every test of the tracker, and how they ask it."""

from types import SimpleNamespace

import pytest

from tests.tracking.sample_records import PARENT, bare_record, failed_record, full_record
from tracking.mlflow_tracker import MlflowTracker
from tracking.records import NOT_LOGGED, FailedData, Verdict

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


def fill_the_disk(*_args):
    raise OSError(28, "No space left on device")


def statuses(client, experiment="train_all"):
    found = client.get_experiment_by_name(experiment)
    return {run.info.status for run in client.search_runs([found.experiment_id])}


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("store with a space")


@pytest.fixture(scope="session")
def logged(root):
    tracker = MlflowTracker(uri=f"sqlite:///{root}/mlflow.db", experiment="train_all", figures=True)
    parent_id = tracker.start(PARENT)
    full = tracker.log_model(full_record(root / "first"))
    second = tracker.log_model(full_record(root / "second", probability=0.25))
    bare = tracker.log_model(bare_record(root / "saved"))
    failed = tracker.log_model(failed_record(root / "saved"))
    tracker.log_failed_data(broken_data(root))
    tracker.log_verdicts(
        [
            Verdict(full, "selected", "Selected: **0.61**"),
            Verdict(second, "refused: too weak", "Refused"),
            Verdict(bare, "refused: bare", "Refused"),
            Verdict(failed, "failed: loss was NaN", "Failed"),
            Verdict(NOT_LOGGED, "selected", "Never logged"),
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
    tracker = MlflowTracker(uri=f"sqlite:///{root}/mlflow.db", experiment="train_all", figures=True)
    tracker.start(PARENT)
    return tracker


@pytest.fixture
def default_store(root, monkeypatch):
    """The shared store as the one that MLflow's loading functions look in."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
