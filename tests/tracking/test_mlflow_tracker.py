import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from models import TrainingMonitor
from models.store import load_model
from tests.models.planted import make_model, signal
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
from tracking.records import NOT_LOGGED, FailedData, Verdict
from tracking.tracker import NoTracker, Tracker

# Reading back calls MLflow directly, which calls parts of SQLAlchemy that are on their way out.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

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
    tracker = MlflowTracker(uri=f"sqlite:///{root}/mlflow.db", experiment="train_all")
    tracker.start(PARENT)
    return tracker


@pytest.fixture
def default_store(root, monkeypatch):
    """The shared store as the one that MLflow's loading functions look in."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")


def files(client, run_id, folder=None):
    """Return the paths of all files of a run."""
    entries = client.list_artifacts(run_id, folder)
    return [
        path
        for entry in entries
        for path in (files(client, run_id, entry.path) if entry.is_dir else [entry.path])
    ]


def fill_the_disk(*_args):
    raise OSError(28, "No space left on device")


def statuses(client, experiment="train_all"):
    found = client.get_experiment_by_name(experiment)
    return {run.info.status for run in client.search_runs([found.experiment_id])}


def test_the_parent_run_holds_the_configuration_and_the_last_facts(logged):
    run = logged.client.get_run(logged.parent_id)
    assert run.info.run_name == "renamed"
    assert run.data.tags["mlflow.note.content"] == "| symbol | model |"
    assert run.info.status == "FINISHED"
    assert {name: run.data.params[name] for name in PARENT.params if name != "long"} == {
        name: value for name, value in PARENT.params.items() if name != "long"
    }
    assert run.data.metrics == {"deployed": 1.0}
    assert run.data.tags.items() >= {"git_commit": "0123abc", "end": "ok"}.items()
    assert files(logged.client, logged.parent_id) == ["data/report.html", "report.html"]


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
    assert version.description == "Selected: **0.61**"
    tags = {"model": "RandomForest", "symbol": "EURUSD", "verdict": "selected"}
    assert version.tags == tags | PARENT.tags


@pytest.mark.usefixtures("logged", "default_store")
def test_the_champion_is_loaded_by_its_alias_and_predicts():
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model("models:/EURUSD@champion")
    features = pd.DataFrame([[0.1, 0.2, 0.3]], columns=list(FEATURES))
    assert model.predict(features).tolist() == [[0.25, 0.75]]


@pytest.mark.usefixtures("default_store")
@pytest.mark.parametrize("file", ["xgboost", "lstm"])
def test_the_champion_answers_exactly_as_the_files_it_was_made_of(tracker, tmp_path, file):
    import mlflow
    import pandas as pd

    rows = signal(240, seed=3)
    model = make_model(file, **({"max_epochs": 2} if file == "lstm" else {}))
    train, held = rows.take(slice(0, 160)), rows.take(slice(160, 200))
    model.fit(train, held, rng=np.random.default_rng(0), monitor=TrainingMonitor())
    model.save(tmp_path / "saved")
    record = replace(full_record(tmp_path), artifact_folder=tmp_path / "saved", input_example=None)
    record = replace(record, loader_module="models.store", features=rows.names_F)
    name = f"SAVED_{file}"
    logged = tracker.log_model(replace(record, registered_name=name))
    assert promoted(tracker, logged.version, name=name) is None
    tracker.finish(**NO_FACTS, status="FINISHED")
    x_NF = rows.x_NF[200:]
    champion_of = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    answers_N2 = champion_of.predict(pd.DataFrame(x_NF, columns=list(rows.names_F)))
    assert np.array_equal(answers_N2, load_model(tmp_path / "saved").predict_proba(x_NF))
    assert np.ptp(answers_N2[:, 1]) > 0


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


def test_every_child_shows_its_verdict_and_what_it_is_founded_on(logged):
    shown = {
        one.run_id: logged.client.get_run(one.run_id).data.tags
        for one in (logged.full, logged.second, logged.bare, logged.failed)
    }
    assert shown[logged.full.run_id]["verdict"] == "selected"
    assert shown[logged.full.run_id]["mlflow.note.content"] == "Selected: **0.61**"
    assert shown[logged.second.run_id]["verdict"] == "refused: too weak"
    assert shown[logged.failed.run_id]["verdict"] == "failed: loss was NaN"
    model = logged.client.get_logged_model(logged.bare.model_id)
    assert model.name == "EURUSD Bare"
    assert model.tags["verdict"] == "refused: bare"


def test_a_child_carries_the_name_of_its_run(logged):
    assert logged.client.get_run(logged.full.run_id).data.tags["run"] == PARENT.name


def test_a_model_shows_its_figures(logged, tmp_path):
    names = ["confusion_matrix", "importance", "learning_curves", "reliability"]
    pictures = [f"figures/{name}.png" for name in names]
    wanted = ["EURUSD_RandomForest.json", *pictures]
    assert files(logged.client, logged.full.run_id) == wanted
    folder = Path(logged.client.download_artifacts(logged.full.run_id, "figures", str(tmp_path)))
    assert all((folder / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in names)


def test_a_symbol_without_usable_data_is_a_failed_run_with_its_report(logged, root):
    experiment = logged.client.get_experiment_by_name("train_all")
    named = "attributes.run_name = 'GBPUSD data'"
    (run,) = logged.client.search_runs([experiment.experiment_id], named)
    assert run.info.status == "FAILED"
    reason = "GBPUSD.csv: no rows"
    wanted = {"symbol": "GBPUSD", "data": "simulated", "error": reason}
    wanted |= {"verdict": f"failed: {reason}", "mlflow.note.content": "No rows"}
    wanted |= {"mlflow.parentRunId": logged.parent_id}
    assert run.data.tags.items() >= wanted.items()
    assert files(logged.client, run.info.run_id) == ["data/GBPUSD.json"]


def test_the_alias_moves_among_simulated_versions_and_describes_the_model(tracker, logged):
    assert champion(logged.client) == "1"
    assert logged.client.get_registered_model("EURUSD").description == "Alias champion."
    assert promoted(tracker, "2") is None
    assert champion(logged.client) == "2"
    assert promoted(tracker, "1") is None
    tracker.finish(**NO_FACTS, status="FINISHED")


@pytest.mark.parametrize("tags", [{"data": "real"}, {}])
def test_a_simulated_version_never_takes_the_alias_from_one_that_is_not(
    tracker, logged, tmp_path, tags
):
    name = f"GUARDED{len(tags)}"
    real = replace(full_record(tmp_path / "real"), tags=tags, registered_name=name)
    tracker.log_model(real)
    simulated = tracker.log_model(replace(full_record(tmp_path / "sim"), registered_name=name))
    assert promoted(tracker, "1", name=name, simulated=False) is None
    left = promoted(tracker, simulated.version, name=name)
    assert left.startswith("alias champion stays with version 1, which was not trained on simul")
    assert champion(logged.client, name) == "1"
    assert promoted(tracker, "2", name=name, simulated=False) is None
    assert champion(logged.client, name) == "2"
    tracker.finish(**NO_FACTS, status="FINISHED")


def test_what_was_logged_before_a_store_died_is_kept(tracker, logged, tmp_path, monkeypatch):
    first = tracker.log_model(full_record(tmp_path / "a"))
    second = tracker.log_model(full_record(tmp_path / "b"))
    with monkeypatch.context() as patch:
        patch.setattr(type(logged.client), "set_model_version_tag", fill_the_disk)
        verdicts = [Verdict(one, "selected", "Selected") for one in (first, second)]
        tracker.log_verdicts(verdicts)
    assert promoted(tracker, second.version) is None
    tracker.finish(**NO_FACTS, status="FINISHED")
    runs = [logged.client.get_run(one.run_id) for one in (first, second)]
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    assert [run.data.tags.get("verdict") for run in runs] == ["selected", None]
    assert [run.data.metrics["test_accuracy"] for run in runs] == [0.61] * 2
    assert tracker.failure.startswith("MLflow at sqlite:///")
    assert "RUNNING" not in statuses(logged.client)


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

    monkeypatch.setattr(type(logged.client), "log_artifacts", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tracker.log_model(full_record(tmp_path))
    tracker.finish(**NO_FACTS, status="KILLED")
    assert statuses(reading_client(root)) == {"FINISHED", "FAILED", "KILLED"}


def test_a_store_that_fails_midway_turns_tracking_off_and_warns_once(
    tracker, logged, root, tmp_path, monkeypatch, caplog
):
    with monkeypatch.context() as patch:
        patch.setattr(type(logged.client), "log_model_artifacts", fill_the_disk)
        assert tracker.log_model(full_record(tmp_path / "a")) == NOT_LOGGED
    assert tracker.log_model(full_record(tmp_path / "b")) == NOT_LOGGED
    assert promoted(tracker, "2") is None
    tracker.log_failed_data(broken_data(tmp_path))
    tracker.finish(**NO_FACTS, status="FINISHED")
    reason = "failed (No space left on device); results are in the output folder, nothing was lost"
    assert tracker.failure == f"MLflow at sqlite:///{root}/mlflow.db {reason}"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert champion(logged.client) == "1"
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
    assert promoted(tracker, "1") is None
    tracker.log_failed_data(broken_data(tmp_path))
    tracker.log_verdicts([Verdict(NOT_LOGGED, "selected", "")])
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
    assert promoted(tracker, "1") is None
    tracker.log_failed_data(broken_data(tmp_path))
    tracker.log_verdicts([Verdict(NOT_LOGGED, "selected", "")])
    tracker.finish(**NO_FACTS, status="FAILED")
    assert (tracker.failure, tracker.cpu_seconds, list(Path().glob("mlflow.db"))) == (None, 0.0, [])
