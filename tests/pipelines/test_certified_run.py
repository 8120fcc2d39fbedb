"""A run judged by evidence: a symbol with signal is deployed, one without is refused."""

import csv
import json
import re
from importlib.resources import files

import jsonschema
import numpy as np
import polars as pl
import pytest

from market.source import read_symbol
from models.store import load_model
from pipelines.settings import train_settings
from selection import DeployedModels
from selection.metrics import classification_metrics
from tests.pipelines.conftest import COUNCIL_ALONE, ONE_FOREST, REFERENCE, TINY, composed, trained

# Reading back calls MLflow directly, which calls parts of SQLAlchemy that are on their way out.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

BREAK_EVEN = (2.0 + 0.13) / (2.0 + 2.0)


@pytest.fixture(scope="module")
def chosen(certified):
    return certified.manifest["selections"]["EURUSD"]


@pytest.fixture(scope="module")
def refused(certified):
    return certified.manifest["selections"]["GBPUSD"]


@pytest.fixture(scope="module")
def deployed(certified):
    return DeployedModels.from_manifest(certified.folder / "deploy" / "manifest.json")


@pytest.fixture(scope="module")
def sealed(certified, market_files):
    """Return the sealed rows of EURUSD, and all decided features before them."""
    conf = composed("data=bars", f"data.dir={market_files}")
    settings = train_settings(conf)
    choices = {name: getattr(settings, name) for name in ("features", "events", "labels")}
    table, _ = read_symbol(settings.source, "EURUSD", seed=settings.seed, **choices)
    rows = table.samples()
    n_before = len(rows) - certified.record["symbols"]["EURUSD"]["holdout_rows"]
    return rows.take(slice(n_before, len(rows))), rows.x_NF[:n_before]


@pytest.fixture(scope="module")
def tags(certified):
    """Return MLflow's tags of the run of each symbol and model, and of the run above them."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{certified.folder}/mlruns/mlflow.db"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.get_experiment_by_name("smoke").experiment_id
    found = {run.info.run_name: run.data.tags for run in client.search_runs([experiment])}
    return {name if " · " not in name else "above": values for name, values in found.items()}


def leaderboard(run):
    with (run.folder / "out" / "leaderboard.csv").open() as file:
        return {(row["symbol"], row["model"]): row for row in csv.DictReader(file)}


def ledger(folder):
    path = folder / "deploy" / "holdout_ledger.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_symbol_with_an_edge_is_deployed_and_the_one_without_is_not(certified):
    assert certified.code == 0
    models = {k: one["selected_model"] for k, one in certified.manifest["selections"].items()}
    assert models == {"EURUSD": "Council", "GBPUSD": None}
    counts = {"total_symbols": 2, "models_selected": 1, "manual_review_needed": 1}
    assert certified.manifest["summary"] == counts
    assert certified.manifest["provenance"]["selection"] == "certified"


def test_the_manifest_fits_its_published_schema(certified):
    text = files("selection").joinpath("deployment_manifest.schema.json").read_text("utf-8")
    jsonschema.Draft202012Validator(json.loads(text)).validate(certified.manifest)


def test_a_refused_symbol_says_what_was_seen_wherever_it_is_told(certified, refused, tags):
    sentence = refused["evidence"]["in_words"]
    assert "would have been seen four times in five" in sentence
    assert refused["reason"] == f"Refused: {sentence}"
    assert certified.record["symbols"]["GBPUSD"]["reason"] == f"Refused: {sentence}"
    assert f"GBPUSD: Refused: {sentence}\n" in certified.printed
    for model in ("Council", "RandomForest"):
        verdict = f"refused: the council found no signal ({sentence})"
        assert leaderboard(certified)["GBPUSD", model]["verdict"] == verdict
        assert tags[f"GBPUSD {model}"]["verdict"] == verdict
    assert sentence in tags["above"]["mlflow.note.content"]


def test_a_refused_symbol_is_for_people_to_look_at_and_says_so_of_every_model(refused):
    assert refused["action"] == "MANUAL_REVIEW_REQUIRED"
    assert set(refused["refused"]) == {"Council", "RandomForest"}
    assert (refused["evidence"]["passes"], refused["evidence"]["family"]) == (False, 2)
    assert refused["evidence"]["p_adjusted"] >= 0.05
    assert refused["closest"]["model"] == "Council"
    assert "artifacts" not in refused
    assert "decision_threshold" not in refused


def test_a_refused_symbols_holdout_stays_sealed_and_is_not_in_the_ledger(certified, refused):
    assert refused["holdout"] == "sealed"
    n_rows = certified.record["symbols"]["GBPUSD"]["holdout_rows"]
    assert refused["windows"]["holdout"]["rows"] == n_rows > 0
    assert [line["symbol"] for line in ledger(certified.folder)] == ["EURUSD"]


def test_a_chosen_symbol_says_why_wherever_it_is_told(certified, chosen, tags):
    sentence = chosen["evidence"]["in_words"]
    assert chosen["reason"] == f"Signal: {sentence}; no single model is better"
    assert f"EURUSD: {chosen['reason']}\n" in certified.printed
    board = leaderboard(certified)
    assert board["EURUSD", "Council"]["verdict"] == "selected"
    assert tags["EURUSD Council"]["verdict"] == "selected"
    other = f"refused: {chosen['refused']['RandomForest']}"
    assert other.startswith("refused: not better than the council (p = 0.")
    assert board["EURUSD", "RandomForest"]["verdict"] == other
    assert tags["EURUSD RandomForest"]["verdict"] == other
    assert tags["above"]["verdict"] == "1 of 2 selected: EURUSD Council"


def test_a_chosen_model_is_sold_by_its_pooled_accuracy_out_of_fold(certified, chosen):
    result = certified.results["EURUSD_Council"]
    assert chosen["expected_accuracy"] == result["out_of_fold"]["accuracy"]
    assert chosen["train_val_gap"] == result["history"]["oof_gap"]
    folds = result["folds"]
    mean = np.mean([fold["train_accuracy"] for fold in folds])
    assert chosen["train_val_gap"] == pytest.approx(mean - result["out_of_fold"]["accuracy"])
    gains = result["no_skill"]["out_of_fold"]["log_loss"] - result["out_of_fold"]["log_loss"]
    assert chosen["evidence"]["log_loss_gain"] == pytest.approx(gains)
    assert chosen["evidence"]["rows"] == result["out_of_fold"]["n"]


def test_the_holdouts_scores_are_those_of_the_artifact_on_the_sealed_rows(deployed, chosen, sealed):
    rows, before_NF = sealed
    p_N = deployed.predict_proba("EURUSD", rows.x_NF, before_NF)[:, 1]
    wanted = classification_metrics(rows.y_N, p_N)
    assert chosen["holdout"]["confusion_matrix"] == wanted.pop("confusion_matrix")
    assert {name: chosen["holdout"][name] for name in wanted} == pytest.approx(wanted)


def test_the_holdouts_scores_have_intervals_around_them(chosen):
    holdout = chosen["holdout"]
    low, high = holdout["intervals"]["accuracy"]
    assert 0 <= low < holdout["accuracy"] < high <= 1
    gain = holdout["no_skill"]["log_loss"] - holdout["log_loss"]
    low, high = holdout["intervals"]["log_loss_gain"]
    assert low < gain < high
    assert 1 < holdout["effective_rows"] < holdout["n"]


def test_an_opened_holdout_is_in_the_ledger_with_its_window_run_and_configuration(
    certified, chosen
):
    (line,) = ledger(certified.folder)
    assert chosen["holdout"]["openings"]["in_words"] == "opened once"
    window = chosen["windows"]["holdout"]
    assert (line["start_utc"], line["end_utc"]) == (window["start"], window["end"])
    assert (line["market"], line["model"]) == ("real", "Council")
    assert line["run_id"] == certified.record["run_id"]
    assert line["conf_digest"] == certified.record["conf_digest"]


def test_the_table_shows_the_evidence_of_both_and_nothing_of_openings(certified):
    table = certified.printed.partition("Outcome on real data")[2].partition("CPU seconds")[0]
    signal, noise = re.findall(r"^ +p (\S+) ", table, flags=re.MULTILINE)
    assert float(signal) < 0.05 <= float(noise)
    assert "opened" not in certified.printed


def test_signals_are_given_from_where_costs_are_met(deployed, chosen, market_files):
    settings = train_settings(composed("data=bars", f"data.dir={market_files}"))
    bars, _ = settings.source.read("EURUSD")
    said = deployed.predict_bars("EURUSD", bars)
    assert said.threshold == chosen["decision_threshold"] == pytest.approx(BREAK_EVEN)
    likely_but_too_dear_N = (said.p_win_N > 0.5) & (said.p_win_N < BREAK_EVEN)
    assert likely_but_too_dear_N.any()


def test_the_predictions_are_those_that_were_judged(certified):
    for name, result in certified.results.items():
        path = certified.folder / "out" / "predictions" / f"{name}.parquet"
        rows, judged = pl.read_parquet(path), result["out_of_fold"]
        wanted = ["timestamp", "label_end", "label", "block", "p", "p_calibrated", "base_rate"]
        assert rows.columns == [
            one for one in wanted if "cal" not in one or not result["null_model"]
        ]
        scores = classification_metrics(rows["label"].to_numpy(), rows["p"].to_numpy())
        assert (scores["n"], scores["log_loss"]) == (judged["n"], judged["log_loss"])
        assert rows["block"].unique().sort().to_list() == [1, 2, 3, 4, 5, 6]
        assert rows["timestamp"].is_sorted()
        assert (rows["label_end"] > rows["timestamp"]).all()


def test_the_registrys_champion_of_a_council_answers_as_its_artifact(
    certified, chosen, sealed, monkeypatch
):
    import mlflow
    import pandas as pd

    store = f"sqlite:///{certified.folder}/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    champion = mlflow.pyfunc.load_model("models:/EURUSD@champion")
    rows, _ = sealed
    asked = champion.predict(pd.DataFrame(rows.x_NF, columns=list(rows.names_F)))
    artifact = (certified.folder / "deploy" / chosen["onnx"]["path"]).parent
    np.testing.assert_allclose(asked, load_model(artifact).predict_proba(rows.x_NF), rtol=1e-12)


def test_a_refused_symbol_has_no_champion(certified):
    from mlflow import MlflowClient

    uri = f"sqlite:///{certified.folder}/mlruns/mlflow.db"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    assert dict(client.get_registered_model("EURUSD").aliases).keys() == {"champion"}
    assert dict(client.get_registered_model("GBPUSD").aliases) == {}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_deployed_where_there_is_no_edge(tmp_path, seed):
    market = ("debug=smoke", "symbols=null", "data.edge=0", "data.n_bars=3000")
    run = trained(tmp_path, *market, *COUNCIL_ALONE, f"seed={seed}")
    assert run.code == 0
    assert len(run.manifest["selections"]) == 11
    assert run.manifest["summary"]["models_selected"] == 0
    assert all(one["evidence"]["family"] == 11 for one in run.manifest["selections"].values())
    assert ledger(tmp_path) == []


def test_the_reference_rule_deploys_no_council_even_where_there_is_nothing_else(
    market_files, tmp_path
):
    data = ("debug=smoke", "symbols=[EURUSD]", "data=bars", f"data.dir={market_files}")
    limits = ("selection.max_gap=1", "selection.min_accuracy=0", "selection.stability_threshold=1")
    run = trained(tmp_path, *data, *COUNCIL_ALONE, *REFERENCE, *limits)
    assert run.code == 1
    assert run.manifest is None
    verdict = leaderboard(run)["EURUSD", "Council"]["verdict"]
    assert verdict == "refused: the reference rule knows no council"


def test_a_hard_limit_keeps_a_symbol_with_signal_from_being_deployed(market_files, tmp_path):
    data = ("debug=smoke", "symbols=[EURUSD]", "data=bars", f"data.dir={market_files}")
    hard = ("selection.hard=[min_accuracy]", "selection.min_accuracy=0.99")
    run = trained(tmp_path, *data, *COUNCIL_ALONE, *hard)
    selection = run.manifest["selections"]["EURUSD"]
    assert selection["selected_model"] is None
    assert selection["evidence"]["passes"]
    assert "but the council breaks a hard limit: test accuracy" in selection["reason"]
    verdict = leaderboard(run)["EURUSD", "Council"]["verdict"]
    assert verdict.startswith("refused: hard limit: test accuracy")
    assert f"EURUSD: {selection['reason']}\n" in run.printed


def test_a_council_that_failed_deploys_nothing_and_says_so(tmp_path, monkeypatch):
    from models.base import ModelError
    from models.council import Council

    def fails(*_arguments, **_keywords):
        raise ModelError("no luck")

    monkeypatch.setattr(Council, "_fit", fails)
    run = trained(tmp_path, *TINY, *ONE_FOREST, "symbols=[EURUSD]")
    selection = run.manifest["selections"]["EURUSD"]
    assert run.code == 3
    assert selection["selected_model"] is None
    assert selection["reason"].startswith("No council to judge by: ")
    assert selection["reason"].endswith("no luck")
    assert "EURUSD Council: failed: " in run.printed
    assert f"EURUSD: {selection['reason']}\n" in run.printed


def test_a_column_that_knows_the_future_is_evidence_of_nothing(tmp_path):
    rng = np.random.default_rng(5)
    label_N = rng.integers(0, 2, 400)
    hours_N = np.datetime64("2020-01-01", "us") + np.arange(400) * np.timedelta64(1, "h")
    columns = {"timestamp": hours_N, "label": label_N, "noise": rng.normal(size=400)}
    (tmp_path / "data").mkdir()
    told = pl.DataFrame(columns | {"told": label_N + rng.normal(scale=0.3, size=400)})
    told.write_parquet(tmp_path / "data" / "EURUSD.parquet")
    data = ("debug=smoke", "data=table", f"data.dir={tmp_path}/data")
    run = trained(tmp_path, *data, *COUNCIL_ALONE)
    selection = run.manifest["selections"]["EURUSD"]
    assert selection["evidence"]["passes"]
    assert selection["selected_model"] is None
    assert selection["reason"].startswith("Signal is there, but feature told alone ranks")
    assert "training.max_feature_auc" in selection["refused"]["Council"]
