import csv
import hashlib
import json
from importlib.resources import files

import jsonschema
import numpy as np
import pytest

from market.source import read_symbol
from models.store import load_model
from pipelines.settings import train_settings
from selection.metrics import classification_metrics
from tests.pipelines.conftest import LENIENT, TINY, composed

# Reading back calls MLflow directly, which calls parts of SQLAlchemy that are on their way out.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SYMBOLS = ["EURUSD", "GBPUSD"]
CHOOSABLE = ["RandomForest", "XGBoost", "MLP", "LSTM"]
CANDIDATES = [*CHOOSABLE, "Council"]
MODELS = [*CANDIDATES, "MajorityClass", "LogisticRegression"]
REFERENCE_KEYS = {"symbol", "model_name", "timestamp", "history", "val_metrics", "test_metrics"}
REFERENCE_KEYS |= {"feature_importance", "warnings", "training_duration_seconds"}
HISTORY = {"train_accuracy", "val_accuracy", "test_accuracy", "train_val_gap"}
HISTORY |= {"overfitting_detected", "cv_is_stable", "cv_fold_accuracies", "cv_mean_accuracy"}
HISTORY |= {"cv_std_accuracy", "cv_min_accuracy", "cv_max_accuracy"}
SCORES = {"accuracy", "precision", "recall", "f1_score", "confusion_matrix"}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def artifact(finished, symbol):
    first = finished.manifest["selections"][symbol]["artifacts"][0]["path"]
    return (finished.folder / "deploy" / first).parent


def sealed(finished, symbol):
    """Return the sealed rows of a symbol, and all decided features before them."""
    settings = train_settings(composed(*TINY, *LENIENT))
    choices = {name: getattr(settings, name) for name in ("features", "events", "labels")}
    table, _ = read_symbol(settings.source, symbol, seed=settings.seed, **choices)
    rows = table.samples()
    n_before = len(rows) - finished.record["symbols"][symbol]["holdout_rows"]
    return rows.take(slice(n_before, len(rows))), rows.x_NF[:n_before]


@pytest.fixture(scope="module")
def client(finished):
    from mlflow import MlflowClient

    uri = f"sqlite:///{finished.folder}/mlruns/mlflow.db"
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@pytest.fixture(scope="module")
def children(client, finished):
    experiment = client.get_experiment_by_name("smoke")
    runs = client.search_runs([experiment.experiment_id])
    return {run.info.run_name: run for run in runs if "mlflow.parentRunId" in run.data.tags}


def test_a_run_without_trouble_ends_with_code_0(finished):
    assert finished.code == 0
    assert finished.record["exit_code"] == 0


def test_there_is_one_result_file_per_symbol_and_model(finished):
    assert set(finished.results) == {f"{symbol}_{model}" for symbol in SYMBOLS for model in MODELS}


def test_a_result_file_has_the_reference_systems_keys(finished):
    for name, result in finished.results.items():
        assert set(result) >= REFERENCE_KEYS, name
        assert set(result["history"]) >= HISTORY, name
        assert set(result["val_metrics"]) >= SCORES, name
        assert set(result["test_metrics"]) >= SCORES, name
        assert f"{result['symbol']}_{result['model_name']}" == name
        assert result["null_model"] == (result["model_name"] not in CANDIDATES)


def test_a_results_numbers_agree_with_each_other(finished):
    for result in finished.results.values():
        history, folds = result["history"], result["history"]["cv_fold_accuracies"]
        assert history["val_accuracy"] == result["val_metrics"]["accuracy"]
        assert history["test_accuracy"] == result["test_metrics"]["accuracy"] == folds[-1]
        assert history["val_accuracy"] == folds[-2]
        gap = history["train_accuracy"] - history["val_accuracy"]
        assert history["train_val_gap"] == pytest.approx(gap)
        assert history["cv_mean_accuracy"] == pytest.approx(np.mean(folds))
        predicted = sum(fold["predicted_rows"] for fold in result["folds"])
        assert predicted == result["out_of_fold"]["n"]


def test_importances_are_ranked_shares_of_all_features(finished):
    ranked = finished.results["EURUSD_RandomForest"]["feature_importance"]
    shares = [entry["importance"] for entry in ranked]
    assert len(ranked) == 57
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0)


def test_the_run_record_names_symbols_models_files_and_what_became_of_them(finished):
    record = finished.record
    assert list(record["symbols"]) == SYMBOLS
    assert record["models"] == CANDIDATES
    assert record["null_models"] == MODELS[len(CANDIDATES) :]
    assert record["manifest"] == str(finished.folder / "deploy" / "manifest.json")
    assert record["simulated"] is True
    assert record["tracking_failure"] is None
    assert record["started"] < record["ended"]
    for one in record["symbols"].values():
        assert one["status"] == "trained"
        assert list(one["models"]) == MODELS
        assert {model["status"] for model in one["models"].values()} == {"trained"}


def test_the_run_records_costs_add_up(finished):
    timings = finished.record["timings"]
    spent = dict(timings["cpu_seconds"])
    total = spent.pop("total")
    assert total == pytest.approx(sum(spent.values()))
    assert set(timings["cpu_seconds_by_model"]) == set(MODELS)
    assert set(timings["cpu_seconds_by_symbol_and_model"]) == set(SYMBOLS)
    fits = sum(sum(parts.values()) for parts in timings["cpu_seconds_by_model"].values())
    assert fits == pytest.approx(spent["fit"] + spent["walk_forward"] + spent["augmentation"])
    assert timings["wall_seconds"] > 0


def test_the_manifest_fits_its_published_schema(finished):
    text = files("selection").joinpath("deployment_manifest.schema.json").read_text("utf-8")
    jsonschema.Draft202012Validator(json.loads(text)).validate(finished.manifest)


def test_the_manifest_has_the_reference_systems_criteria_and_summary(finished):
    limits = {"max_train_val_gap": 1.0, "min_test_accuracy": 0.0, "max_val_test_diff": 1.0}
    assert finished.manifest["selection_criteria"] == limits
    counts = {"total_symbols": 2, "models_selected": 2, "manual_review_needed": 0}
    assert finished.manifest["summary"] == counts
    assert finished.manifest["provenance"]["simulated"] is True
    assert finished.manifest["provenance"]["run_id"] == finished.record["run_id"]


def test_every_artifact_lies_beside_the_manifest_with_its_digest_and_size(finished):
    for symbol, selection in finished.manifest["selections"].items():
        listed = selection["artifacts"]
        for entry in listed:
            path = finished.folder / "deploy" / entry["path"]
            assert (digest(path), path.stat().st_size) == (entry["sha256"], entry["bytes"])
        there = {path.name for path in artifact(finished, symbol).iterdir()}
        assert there == {entry["path"].rpartition("/")[2] for entry in listed}


def test_a_null_model_or_the_council_is_never_chosen_by_the_reference_rule(finished):
    for selection in finished.manifest["selections"].values():
        assert selection["selected_model"] in CHOOSABLE
        named = {one["model"] for one in selection["alternatives"]}
        assert named < set(CHOOSABLE)
        assert selection["refused"]["Council"] == "the reference rule knows no council"
        assert set(selection["refused"]) == {*CANDIDATES} - {selection["selected_model"]}
    assert finished.manifest["provenance"]["selection"] == "reference"


def test_the_choice_has_the_best_test_accuracy_less_half_its_gap(finished):
    for symbol, selection in finished.manifest["selections"].items():
        scores = {}
        for name in CHOOSABLE:
            history = finished.results[f"{symbol}_{name}"]["history"]
            if history["cv_std_accuracy"] <= 0.15:
                scores[name] = history["test_accuracy"] - 0.5 * history["train_val_gap"]
        assert scores[selection["selected_model"]] == pytest.approx(max(scores.values()))
        assert selection["reason"].startswith("Best score (")


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_holdouts_scores_are_those_of_the_artifact_on_the_sealed_rows(finished, symbol):
    rows, before_NF = sealed(finished, symbol)
    p_N = load_model(artifact(finished, symbol)).predict_proba(rows.x_NF, before_NF)[:, 1]
    holdout = finished.manifest["selections"][symbol]["holdout"]
    wanted = classification_metrics(rows.y_N, p_N)
    assert holdout["confusion_matrix"] == wanted.pop("confusion_matrix")
    assert {name: holdout[name] for name in wanted} == pytest.approx(wanted)
    assert len(rows) == finished.record["symbols"][symbol]["holdout_rows"] == holdout["n"]


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_no_result_file_knows_the_holdout(finished, symbol):
    window = finished.manifest["selections"][symbol]["windows"]["holdout"]
    log_loss = finished.manifest["selections"][symbol]["holdout"]["log_loss"]
    for model in MODELS:
        path = finished.folder / "out" / "results" / f"{symbol}_{model}.json"
        assert "holdout" not in path.read_text()
        assert str(log_loss) not in path.read_text()
        spans = finished.results[f"{symbol}_{model}"]["windows"].values()
        assert max(span["end"] for span in spans) < window["start"]


def test_the_leaderboard_lists_every_model_best_out_of_fold_first(finished):
    with (finished.folder / "out" / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(SYMBOLS) * len(MODELS)
    for symbol in SYMBOLS:
        losses = [float(row["oof_log_loss"]) for row in rows if row["symbol"] == symbol]
        assert losses == sorted(losses)
        named = {row["model"] for row in rows if row["symbol"] == symbol}
        assert named == set(MODELS)


def test_the_rows_that_workers_map_are_gone_with_the_run(finished):
    assert list((finished.folder / "out").glob(".rows*")) == []


def test_the_output_says_that_the_market_is_simulated_and_where_things_are(finished):
    assert finished.printed.startswith("reading 2 symbols from a simulated market\n")
    assert "2 of 2 symbols ready (simulated data)" in finished.printed
    assert "Outcome on a simulated market" in finished.printed
    assert f"results   {finished.folder}/out" in finished.printed
    assert f"manifest  {finished.folder}/deploy/manifest.json" in finished.printed
    assert "[14/14]" in finished.printed
    assert "failed" not in finished.printed


def test_mlflow_has_a_parent_and_a_child_per_symbol_and_model_all_ended(client, children, finished):
    assert set(children) == {f"{symbol} {model}" for symbol in SYMBOLS for model in MODELS}
    parent = client.get_run(finished.record["run_id"])
    for run in [parent, *children.values()]:
        assert run.info.status == "FINISHED"
        assert run.data.tags["data"] == "simulated"
    for run in children.values():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.info.run_name.startswith("2/2 selected · ")
    assert parent.info.run_name.endswith(" · simulated · smoke")
    assert parent.data.params["models.lstm.max_epochs"] == "1"
    logged = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert logged == {"data", "leaderboard.csv", "manifest.json"}
    reports = {file.path for file in client.list_artifacts(parent.info.run_id, "data")}
    assert reports == {f"data/{symbol}.json" for symbol in SYMBOLS}


def test_a_child_run_has_its_results_numbers_tags_and_curves(client, children, finished):
    run, result = children["GBPUSD MLP"], finished.results["GBPUSD_MLP"]
    wanted = {"symbol": "GBPUSD", "model": "MLP", "null_model": "false"}
    assert run.data.tags.items() >= wanted.items()
    metrics = run.data.metrics
    assert metrics["test_accuracy"] == result["test_metrics"]["accuracy"]
    assert result["curves"]
    assert metrics["oof_log_loss"] == result["out_of_fold"]["log_loss"]
    assert metrics["train_val_gap"] == result["history"]["train_val_gap"]
    assert metrics["test_log_loss_no_skill"] == result["no_skill"]["test"]["log_loss"]
    assert run.data.params["hidden"] == "[16]"
    for name, values in result["curves"].items():
        points = client.get_metric_history(run.info.run_id, f"per_step/{name}")
        assert [point.value for point in points] == values


def test_a_child_run_holds_its_result_file(client, children, finished, tmp_path):
    run_id = children["EURUSD LSTM"].info.run_id
    path = client.download_artifacts(run_id, "EURUSD_LSTM.json", str(tmp_path))
    with open(path) as file:  # noqa: PTH123 - MLflow's own address
        assert json.load(file) == finished.results["EURUSD_LSTM"]


def test_the_store_keeps_everything_beside_its_file(finished, client):
    location = client.get_experiment_by_name("smoke").artifact_location
    assert location == (finished.folder / "mlruns" / "artifacts").as_uri()
    assert {path.name for path in finished.folder.iterdir()} == {"out", "deploy", "mlruns"}


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_symbol_is_a_registered_model_and_its_choice_the_champion(client, finished, symbol):
    versions = client.search_model_versions(f"name = '{symbol}'")
    assert {version.tags["model"] for version in versions} == set(CANDIDATES)
    champion = client.get_model_version_by_alias(symbol, "champion")
    selection = finished.manifest["selections"][symbol]
    assert champion.tags["model"] == selection["selected_model"]
    assert str(champion.version) == selection["model_version"]
    assert selection["model_uri"] == f"models:/{symbol}/{champion.version}"


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_champion_answers_as_the_manifests_artifact(finished, symbol, monkeypatch):
    import mlflow
    import pandas as pd

    uri = f"sqlite:///{finished.folder}/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    champion = mlflow.pyfunc.load_model(f"models:/{symbol}@champion")
    rows, _ = sealed(finished, symbol)
    asked = champion.predict(pd.DataFrame(rows.x_NF, columns=list(rows.names_F)))
    wanted = load_model(artifact(finished, symbol)).predict_proba(rows.x_NF)
    np.testing.assert_allclose(asked, wanted, rtol=1e-12)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_data_report_says_nothing_of_sealed_labels(finished, symbol):
    report = json.loads((finished.folder / "out" / "data" / f"{symbol}.json").read_text())
    settings = train_settings(composed(*TINY, *LENIENT))
    choices = {name: getattr(settings, name) for name in ("features", "events", "labels")}
    table, _ = read_symbol(settings.source, symbol, seed=settings.seed, **choices)
    split, holdout = settings.split.divide(table.samples())
    is_open_N = np.isin(table.t0_N, split.development.t0_N)
    assert holdout is not None
    assert report["events"]["decided"] == (table.label_N >= 0).sum()
    assert report["events"]["wins"] == split.development.y_N.mean()
    assert report["events"]["timed_out"] == table.timed_out_N[is_open_N].mean()
    assert report["events"]["constant_features"] == [
        "TBM_Risk_Per_Trade_ATR",
        "TBM_Reward_Per_Trade_ATR",
        "Distance_to_Entry_ATR",
    ]
