import json
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.tracking.sample_records import (
    BEGUN_UTC,
    DIGEST,
    FEATURES,
    N_EPOCHS,
    PARENT,
    bare_record,
    failed_record,
    full_record,
)
from tracking.mlflow_tracker import MlflowTracker
from tracking.records import NOT_LOGGED
from tracking.tracker import NoTracker, Tracker

# Reading back calls MLflow directly, which calls parts of SQLAlchemy that are on their way out.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

NO_FACTS = {"metrics": {}, "tags": {}, "artifacts": []}


def reading_client(root):
    from mlflow import MlflowClient

    uri = f"sqlite:///{root}/mlflow.db"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("store with a space")


@pytest.fixture(scope="module")
def logged(root):
    tracker = MlflowTracker(uri=f"sqlite:///{root}/mlflow.db", experiment="train_all")
    parent_id = tracker.start(PARENT)
    full = tracker.log_model(full_record(root / "first"))
    second = tracker.log_model(full_record(root / "second", probability=0.25))
    bare = tracker.log_model(bare_record(root / "saved"))
    failed = tracker.log_model(failed_record(root / "saved"))
    tracker.set_champion("EURUSD", full.version)
    report = root / "report.html"
    report.write_text("<p>done</p>")
    tracker.finish(
        metrics={"deployed": 1.0}, tags={"end": "ok"}, artifacts=[report], status="FINISHED"
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
    tracker = MlflowTracker(uri=f"sqlite:///{root}/mlflow.db", experiment="train_all")
    tracker.start(PARENT)
    return tracker


@pytest.fixture
def default_store(root, monkeypatch):
    """The shared store as the one that MLflow's loading functions look in."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")


def statuses(client, experiment="train_all"):
    found = client.get_experiment_by_name(experiment)
    return {run.info.status for run in client.search_runs([found.experiment_id])}


def test_the_parent_run_holds_the_configuration_and_the_last_facts(logged):
    run = logged.client.get_run(logged.parent_id)
    assert run.info.run_name == PARENT.name
    assert run.info.status == "FINISHED"
    assert {name: run.data.params[name] for name in PARENT.params if name != "long"} == {
        name: value for name, value in PARENT.params.items() if name != "long"
    }
    assert run.data.metrics == {"deployed": 1.0}
    assert run.data.tags.items() >= {"git_commit": "0123abc", "end": "ok"}.items()
    assert [file.path for file in logged.client.list_artifacts(logged.parent_id)] == ["report.html"]


def test_a_parameter_longer_than_mlflow_takes_is_cut(logged):
    assert logged.client.get_run(logged.parent_id).data.params["long"] == "x" * 6000


def test_a_model_is_a_child_run_with_its_facts_and_its_span(logged):
    run = logged.client.get_run(logged.full.run_id)
    assert run.info.run_name == "EURUSD RandomForest"
    assert run.data.tags["mlflow.parentRunId"] == logged.parent_id
    facts = {"symbol": "EURUSD", "model": "RandomForest", "data": "simulated"}
    assert run.data.tags.items() >= facts.items()
    assert run.data.params == {"max_depth": "10"}
    assert (run.info.status, run.info.start_time) == ("FINISHED", BEGUN_UTC.timestamp() * 1000)
    assert run.info.end_time - run.info.start_time == 90_000


def test_metrics_keep_their_value_and_names_that_mlflow_refuses_are_mended(logged):
    metrics = logged.client.get_run(logged.full.run_id).data.metrics
    assert metrics["test_accuracy"] == 0.61
    assert metrics["gap _mean_"] == 0.05


def test_a_curve_keeps_every_epoch_at_its_step(logged):
    history = logged.client.get_metric_history(logged.full.run_id, "val_loss")
    by_step = {metric.step: metric.value for metric in history}
    assert by_step == {epoch + 1: 2.0 / (epoch + 1) for epoch in range(N_EPOCHS)}


def test_the_data_set_stands_in_the_run_with_its_digest(logged):
    run = logged.client.get_run(logged.full.run_id)
    dataset = run.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("EURUSD 1h", DIGEST[:36])
    assert run.data.tags["dataset_digest"] == DIGEST
    assert json.loads(dataset.source) == {"uri": "data/EURUSD.csv"}
    assert json.loads(dataset.profile)["num_rows"] == 300
    assert [column["name"] for column in json.loads(dataset.schema)["mlflow_colspec"]] == list(
        FEATURES
    )


def test_artifacts_lie_beside_the_database(logged, root):
    found = list((root / "artifacts" / logged.full.run_id).rglob("EURUSD_RandomForest.json"))
    assert [json.loads(file.read_text()) for file in found] == [{"symbol": "EURUSD"}]
    assert len(list((root / "artifacts").rglob("probability.txt"))) == 3


def test_each_model_of_a_symbol_is_the_next_registered_version(logged):
    assert (logged.full.version, logged.full.uri) == ("1", "models:/EURUSD/1")
    assert logged.second.version == "2"
    version = logged.client.get_model_version("EURUSD", "1")
    assert version.run_id == logged.full.run_id
    assert version.description == "Forest of 200 trees."
    assert version.tags["model"] == "RandomForest"


@pytest.mark.usefixtures("logged", "default_store")
def test_the_champion_is_loaded_by_its_alias_and_predicts():
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model("models:/EURUSD@champion")
    features = pd.DataFrame([[0.1, 0.2, 0.3]], columns=list(FEATURES))
    assert model.predict(features).tolist() == [[0.25, 0.75]]


@pytest.mark.usefixtures("default_store")
def test_a_model_carries_its_signature_and_an_example(logged):
    from mlflow.models import Model

    model = Model.load(logged.full.uri)
    assert model.signature.inputs.input_names() == list(FEATURES)
    assert model.signature.outputs.to_dict()[0]["tensor-spec"]["shape"] == (-1, 2)
    assert model.load_input_example(logged.full.uri).to_numpy().tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.usefixtures("default_store")
def test_a_model_without_a_registered_name_can_still_be_addressed(logged):
    from mlflow.models import Model

    assert logged.bare.version is None
    assert Model.load(logged.bare.uri).signature.inputs.input_names() == list(FEATURES)


def test_a_failed_model_ends_as_failed_with_its_reason_and_nothing_registered(logged):
    run = logged.client.get_run(logged.failed.run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] == "loss was NaN at epoch 3"
    assert (logged.failed.version, logged.failed.uri) == (None, None)


def test_the_work_is_counted_and_the_process_wide_store_is_left_alone(logged, root):
    import mlflow

    assert logged.tracker.cpu_seconds > 0.0
    assert str(root) not in mlflow.get_tracking_uri()


def test_an_interrupted_run_leaves_nothing_running(tracker, logged, root, tmp_path, monkeypatch):
    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(logged.client), "log_text", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tracker.log_model(full_record(tmp_path))
    tracker.finish(**NO_FACTS, status="KILLED")
    assert statuses(reading_client(root)) == {"FINISHED", "FAILED", "KILLED"}


def test_a_store_that_fails_midway_turns_tracking_off_and_warns_once(
    tracker, logged, root, tmp_path, monkeypatch, caplog
):
    def fill_the_disk(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(logged.client), "log_model_artifacts", fill_the_disk)
        assert tracker.log_model(full_record(tmp_path / "a")) == NOT_LOGGED
    assert tracker.log_model(full_record(tmp_path / "b")) == NOT_LOGGED
    tracker.set_champion("EURUSD", "2")
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert tracker.failure == "OSError: [Errno 28] No space left on device"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert int(logged.client.get_model_version_by_alias("EURUSD", "champion").version) == 1
    assert "RUNNING" not in statuses(logged.client)


@pytest.mark.usefixtures("logged")
def test_a_database_that_loses_its_tables_never_raises(tmp_path, root, capfd):
    shutil.copy(root / "mlflow.db", tmp_path / "mlflow.db")
    tracker = MlflowTracker(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="train_all")
    tracker.start(PARENT)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("DROP TABLE metrics")
        database.execute("DROP TABLE runs")
    assert tracker.log_model(full_record(tmp_path)) == NOT_LOGGED
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert "no such table" in tracker.failure
    assert "\n" not in tracker.failure
    assert capfd.readouterr() == ("", "")


def make_unusable_stores(folder):
    (folder / "directory").mkdir()
    (folder / "letter").write_text("this is a letter, and no database at all\n" * 30)
    for name, statements in {
        "from_a_newer_mlflow": [
            "CREATE TABLE alembic_version (version_num TEXT)",
            "INSERT INTO alembic_version VALUES ('zzz')",
        ],
        "of_another_program": ["CREATE TABLE runs (x INT)"],
    }.items():
        with sqlite3.connect(folder / name) as database:
            for statement in statements:
                database.execute(statement)


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:9",
        "sqlite:///{folder}/directory",
        "sqlite:///{folder}/letter",
        "sqlite:///{folder}/from_a_newer_mlflow",
        "sqlite:///{folder}/of_another_program",
    ],
)
def test_a_store_that_cannot_be_opened_turns_tracking_off(uri, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    make_unusable_stores(tmp_path)
    tracker = MlflowTracker(uri=uri.format(folder=tmp_path), experiment="train_all")
    assert tracker.start(PARENT) is None
    assert tracker.log_model(full_record(tmp_path / "model")) == NOT_LOGGED
    tracker.set_champion("EURUSD", "1")
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert tracker.failure is not None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("uri", ["", "mlruns", "sqlite://", "sqlite:///", "file:///mlruns"])
def test_an_address_of_no_store_is_refused_at_once(uri):
    with pytest.raises(ValueError, match=r"tracking\.uri must be"):
        MlflowTracker(uri=uri, experiment="train_all")


def test_without_tracking_every_answer_is_empty(tmp_path):
    tracker: Tracker = NoTracker()
    assert tracker.start(PARENT) is None
    assert tracker.log_model(full_record(tmp_path)) == NOT_LOGGED
    tracker.set_champion("EURUSD", "1")
    tracker.finish(**NO_FACTS, status="FAILED")
    assert (tracker.failure, tracker.cpu_seconds, list(Path().glob("mlflow.db"))) == (None, 0.0, [])
