"""What stands in a store after a run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tracking.conftest import reading_client
from tests.tracking.sample_records import BEGUN_UTC, DIGEST, FEATURES, N_EPOCHS, PARENT

# Reading back calls MLflow directly, which calls parts of SQLAlchemy that are on their way out.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

REPOSITORY = Path(__file__).resolve().parents[2]
WITHOUT_FIGURES = """
import sys
from pathlib import Path
from tests.tracking.sample_records import PARENT, full_record
from tracking.mlflow_tracker import MlflowTracker
folder = Path(sys.argv[1])
uri = f"sqlite:///{folder}/mlflow.db"
tracker = MlflowTracker(
    uri=uri, experiment="train_all", figures=False, queue=None, patience_s=10.0
)
tracker.start(PARENT)
logged = tracker.log_model(full_record(folder))
print(logged.run_id, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def files(client, run_id, folder=None):
    """Return the paths of all files of a run."""
    entries = client.list_artifacts(run_id, folder)
    return [
        path
        for entry in entries
        for path in (files(client, run_id, entry.path) if entry.is_dir else [entry.path])
    ]


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
    saved = list((root / "artifacts").rglob("probability.txt"))
    for model in (logged.full, logged.second, logged.bare):
        assert sum(model.model_id in file.parts for file in saved) == 1


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


def test_without_figures_no_picture_is_kept_or_drawn(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_FIGURES, tmp_path],
        capture_output=True,
        cwd=REPOSITORY,
        text=True,
        check=True,
    )
    run_id, *imported = ended.stdout.split()
    assert "mlflow" in imported
    assert not {"matplotlib", "PIL"} & set(imported)
    assert files(reading_client(tmp_path), run_id) == ["EURUSD_RandomForest.json"]


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


def test_a_failed_model_ends_as_failed_with_its_reason_and_nothing_registered(logged):
    run = logged.client.get_run(logged.failed.run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["error"] == "loss was NaN at epoch 3"
    assert (logged.failed.version, logged.failed.uri) == (None, None)


def test_the_work_is_counted_and_the_process_wide_store_is_left_alone(logged, root):
    import mlflow

    assert logged.tracker.cpu_seconds > 0.0
    assert str(root) not in mlflow.get_tracking_uri()
