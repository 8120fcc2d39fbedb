"""Registered versions, and the alias that deployers load."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from models import TrainingMonitor
from models.store import load_model
from tests.models.planted import make_model, signal
from tests.tracking.conftest import NO_FACTS, champion, promoted
from tests.tracking.sample_records import FEATURES, PARENT, full_record

# Reading back calls MLflow directly, which calls parts of SQLAlchemy that are on their way out.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_each_model_of_a_symbol_is_the_next_registered_version(logged):
    assert (logged.full.version, logged.full.uri) == ("1", "models:/EURUSD/1")
    assert logged.second.version == "2"
    version = logged.client.get_model_version("EURUSD", "1")
    assert version.run_id == logged.full.run_id
    assert version.description == "Selected: **0.61**"
    tags = {"model": "RandomForest", "symbol": "EURUSD", "verdict": "selected"}
    assert version.tags == tags | PARENT.tags | {"execution": PARENT.execution}


@pytest.mark.usefixtures("logged", "default_store")
def test_the_champion_is_loaded_by_its_alias_and_predicts():
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model("models:/EURUSD@champion")
    features = pd.DataFrame([[0.1, 0.2, 0.3]], columns=list(FEATURES))
    assert model.predict(features).tolist() == [[0.25, 0.75]]


@pytest.mark.usefixtures("default_store")
# The rows before the first ones are left out here, of the model and of its files alike.
@pytest.mark.filterwarnings("ignore:LSTM looks back")
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


def test_a_promoted_version_tells_which_manifest_named_it(tracker, logged, tmp_path):
    record = replace(full_record(tmp_path / "files"), registered_name="NAMED")
    first, second = (tracker.log_model(record).version for _ in range(2))
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")
    told = {"simulated": True, "description": "Named.", "manifest": manifest}
    assert tracker.promote("NAMED", second, **told) is None
    tracker.finish(**NO_FACTS, status="FINISHED")
    tags = logged.client.get_model_version("NAMED", second).tags
    digest = hashlib.sha256(b"{}").hexdigest()
    assert tags.items() >= {"manifest": str(manifest), "manifest_sha256": digest}.items()
    assert "manifest" not in logged.client.get_model_version("NAMED", first).tags
