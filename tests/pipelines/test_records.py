"""What MLflow is told of a run, its models and its selection."""

import copy
import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from pipelines import records
from pipelines.certification import selected_by_reference
from pipelines.descriptions import model_page, registered_page, run_page
from pipelines.outcome import verdict
from selection import ModelSelector
from selection.metrics import classification_metrics, no_skill_metrics, reliability_bins
from tests.models.planted import signal
from tracking.records import NOT_LOGGED

Y_N = [1, 0, 1, 1, 0, 1]
P_N = [0.8, 0.3, 0.6, 0.4, 0.2, 0.7]


def result(model="XGBoost", **changes):
    scores, no_skill = dict(classification_metrics(Y_N, P_N)), dict(no_skill_metrics(Y_N, 0.6))
    trades = {"trades": 4, "share_taken": 0.5, "expectancy_r": 0.25, "total_r": 1.0}
    parts = ("validation", "test", "out_of_fold")
    return {
        "symbol": "EURUSD",
        "model_name": model,
        "timestamp": "2026-03-02T08:00:00+00:00",
        "history": {
            "train_accuracy": 0.7,
            "val_accuracy": 0.6,
            "test_accuracy": 0.6,
            "train_val_gap": 0.1,
            "oof_gap": 0.08,
            "overfitting_detected": False,
            "cv_available": True,
            "cv_mean_accuracy": 0.6,
            "cv_std_accuracy": 0.02,
        },
        "val_metrics": scores,
        "test_metrics": scores,
        "out_of_fold": scores,
        "reliability": [dict(one) for one in reliability_bins(Y_N, P_N, 2)],
        "no_skill": dict.fromkeys(parts, no_skill),
        "expectancy": dict.fromkeys(parts, trades),
        "feature_importance": [{"feature": "rsi", "importance": 1.0}],
        "augmentation_failures": [],
        "warnings": ["fold 2: val|loss <b>rose</b>"],
        "training_duration_seconds": 2.0,
        "curves": {"val_loss": [0.7, None, 0.6, 0.65]},
        "hyperparameters": {"n_estimators": 10},
        "sizes": {"development_rows": 60, "rows_after_augmentation": 120},
        "digests": {"data": "d" * 64, "features": "f" * 64},
        "strength": {"chosen": 2},
        "calibration": {"kind": "platt"},
        "augmentation": "always",
        "augmentation_verdict": None,
        "seed": 7,
        "null_model": model == "MajorityClass",
        **changes,
    }


def failed(model="LSTM"):
    return {
        "symbol": "EURUSD",
        "model_name": model,
        "timestamp": "2026-03-02T08:00:00+00:00",
        "null_model": False,
        "error": "loss was | NaN",
    }


def record(one, folder=Path("unused")):
    rows = signal(20, seed=1)
    places = {"development": rows, "source": "bars.csv", "artifact_folder": folder}
    return records.model_record(one, **places, simulated=True)


SELECTED = {
    "selected_model": "XGBoost",
    "reason": "Best score (0.550) with gap 10.0%",
    "refused": {"RandomForest": "no evidence of its own (p = 0.21)"},
}
REFUSED = {"selected_model": None, "reason": "No models met quality criteria"}
NO_SIGNAL = {
    "selected_model": None,
    "reason": "Refused: no effect seen",
    "refused": {"XGBoost": "the council found no signal"},
    "evidence": {"passes": False, "in_words": "no effect seen; an edge of 9 points would be"},
}
HARD_LIMIT = {
    "selected_model": None,
    "reason": "Signal is there, but a hard limit is broken: max_gap",
    "refused": {"XGBoost": "hard limit: max_gap"},
    "evidence": {"passes": True, "in_words": "p = 2e-07"},
}
WEAK = result("MLP", history={**result()["history"], "test_accuracy": 0.4})


def test_a_runs_name_says_what_came_of_it_then_when():
    started = datetime(2026, 11, 21, 4, 42, 9, tzinfo=UTC)
    name = records.run_name("fx_h1", started, n_symbols=11, n_selected=2, simulated=False)
    assert name == "2/11 selected · 11-21 04:42:09 · fx_h1"
    there = started.astimezone(timezone(timedelta(hours=5)))
    name = records.run_name("fx_h1", there, n_symbols=11, n_selected=None, simulated=True)
    assert name == "11 symbols · 11-21 04:42:09 · simulated · fx_h1"


def test_the_gains_are_over_no_skill_and_positive_is_better():
    metrics = record(result()).metrics
    scores, no_skill = result()["out_of_fold"], result()["no_skill"]["out_of_fold"]
    assert metrics["gain_accuracy_oof"] == pytest.approx(5 / 6 - 4 / 6)
    assert metrics["gain_log_loss_oof"] == no_skill["log_loss"] - scores["log_loss"] > 0
    assert metrics["oof_expectancy_r"] == 0.25
    assert (metrics["train_val_gap"], metrics["oof_gap"]) == (0.1, 0.08)
    assert metrics["test_log_loss_no_skill"] == no_skill["log_loss"]


def test_what_cannot_be_measured_is_left_out():
    one = copy.deepcopy(result())
    one["out_of_fold"] = {**one["out_of_fold"], "roc_auc": None}
    one["expectancy"]["out_of_fold"] = {"trades": 0, "expectancy_r": None}
    missing = record(result()).metrics.keys() - record(one).metrics.keys()
    assert missing == {"oof_roc_auc", "oof_expectancy_r"}


def test_parameters_tell_two_children_apart():
    params = record(result()).params
    wanted = {"n_estimators": "10", "augmentation": "always", "seed": "7", "data_digest": "d" * 12}
    assert params.items() >= wanted.items()
    assert params["rows_after_augmentation"] == "120"
    assert (params["strength"], params["calibration"]) == ("2", "platt")
    assert record(result(calibration=None)).params["calibration"] == "none"
    for adopted, said in ((True, "adaptive: adopted"), (False, "adaptive: not adopted")):
        judged = result(augmentation="adaptive", augmentation_verdict={"adopted": adopted})
        assert record(judged).params["augmentation"] == said


def test_only_candidates_have_files_figures_and_a_place_in_the_registry():
    for one, is_candidate in (
        (result(), True),
        (result("MajorityClass"), False),
        (failed(), False),
    ):
        told = record(one)
        has = [told.figures is not None, told.artifact_folder is not None]
        assert [*has, told.registered_name is not None] == [is_candidate] * 3


def test_figures_show_the_bins_the_curves_and_the_step_that_was_kept():
    figures = record(result()).figures
    low, high = figures.reliability
    assert low == (pytest.approx(0.3), pytest.approx(1 / 3), 3)
    assert high == (pytest.approx(0.7), 1.0, 3)
    assert (figures.step, figures.kept_step) == ("round", 3)
    assert math.isnan(figures.curves["val_loss"][1])
    assert figures.title == "EURUSD XGBoost, 6 rows out of fold (simulated)"
    assert "no skill 0.667" in figures.subtitle
    unwatched = result(curves={"train_loss": [0.7, 0.6]}, sizes={"rounds": 2})
    assert record(unwatched).figures.kept_step == 2


def test_a_symbol_without_data_says_why_as_plain_text():
    told = records.failed_data("EURUSD", "a|b.csv: <no> rows", None, simulated=False)
    assert told.description == "Data could not be used: a\\|b.csv: &lt;no> rows"
    assert told.tags["data"] == "real"


@pytest.mark.parametrize(
    ("one", "selection", "wanted"),
    [
        (result(), SELECTED, "selected"),
        (failed(), SELECTED, "failed: loss was | NaN"),
        (result("MajorityClass"), SELECTED, "null model: never deployed"),
        (result("RandomForest"), SELECTED, "refused: no evidence of its own (p = 0.21)"),
        (result(), REFUSED, "refused: No models met quality criteria"),
        (
            result(),
            NO_SIGNAL,
            "refused: the council found no signal (no effect seen; an edge of 9 points would be)",
        ),
        (result(), HARD_LIMIT, "refused: hard limit: max_gap"),
    ],
)
def test_a_verdict_says_why_in_one_line(one, selection, wanted):
    assert verdict(one, selection) == wanted


def test_the_reference_rule_refuses_for_the_limits_broken_or_a_better_score():
    second = result("RandomForest", history={**result()["history"], "train_accuracy": 0.75})
    second["history"] = {**second["history"], "train_val_gap": 0.15}
    models = {"XGBoost": result(), "RandomForest": second, "MLP": WEAK, "LSTM": failed()}
    found = selected_by_reference(ModelSelector(), {"EURUSD": models})["EURUSD"]
    assert found["selected_model"] == "XGBoost"
    assert found["refused"] == {
        "RandomForest": "XGBoost has the better score",
        "MLP": "validation-test difference 0.200 > 0.05; test accuracy 0.400 < 0.55",
        "LSTM": "training failed: loss was | NaN",
    }


def test_the_reference_rule_knows_no_council():
    best = result("Council", history={**result()["history"], "test_accuracy": 0.64})
    found = selected_by_reference(
        ModelSelector(), {"EURUSD": {"XGBoost": result(), "Council": best}}
    )
    assert found["EURUSD"]["selected_model"] == "XGBoost"
    assert found["EURUSD"]["alternatives"] == []
    assert found["EURUSD"]["refused"] == {"Council": "the reference rule knows no council"}
    alone = selected_by_reference(ModelSelector(), {"EURUSD": {"Council": best}})["EURUSD"]
    assert alone["selected_model"] is None


def test_every_model_gets_its_verdict():
    results = {"EURUSD": {"XGBoost": result(), "LSTM": failed()}}
    logged = {("EURUSD", "XGBoost"): NOT_LOGGED, ("EURUSD", "LSTM"): NOT_LOGGED}
    found = records.verdicts(results, {"EURUSD": SELECTED}, logged, simulated=False)
    assert [one.text for one in found] == ["selected", "failed: loss was | NaN"]
    assert found[0].description.startswith("Selected for EURUSD: Best score (0.550)")
    assert found[1].description == "Failed: loss was \\| NaN"


def test_a_models_page_has_its_figures_the_holdout_and_warnings_as_plain_text():
    holdout = {**result()["out_of_fold"], "no_skill": {"accuracy": 0.5, "log_loss": 0.7}}
    page = model_page(result(), "selected", {**SELECTED, "holdout": holdout}, simulated=True)
    assert "(simulated market)" in page.splitlines()[0]
    assert "|**holdout**&emsp;|6&emsp;|0.833 (0.500)&emsp;|" in page
    table, note = page.split("\n\n")[1:3]
    assert table.startswith("|")
    assert note.startswith("Selection has read validation and test, and out of fold holds their ")
    assert "- fold 2: val\\|loss &lt;b>rose&lt;/b>" in page
    other = model_page(
        result("MLP"), "refused: x", {**SELECTED, "holdout": holdout}, simulated=True
    )
    assert "holdout" not in other


def test_many_warnings_are_cut_to_a_page():
    page = model_page(
        result(warnings=[f"fold {n}: " + "x" * 900 for n in range(80)]),
        "selected",
        SELECTED,
        simulated=False,
    )
    assert len(page) < 5000
    assert page.endswith("- and 70 more, in the result files")


def test_a_runs_page_lists_every_symbol_and_what_failed():
    results = {"EURUSD": {"XGBoost": result(), "LSTM": failed()}, "AUDUSD": {"MLP": WEAK}}
    closest = {"model": "MLP", "fails": ["test accuracy 0.400 < 0.55"]}
    selections = {
        "EURUSD": {**SELECTED, "holdout": "awaiting live data", "warnings": ["too good"]},
        "AUDUSD": {**REFUSED, "closest": closest, "holdout": "sealed", "warnings": []},
        "GBPUSD": {**REFUSED, "reason": "Data could not be used: GBPUSD.csv: no rows"},
    }
    page = run_page(results, selections, simulated=False, manifest=Path("deploy/m.json"))
    assert page.startswith("**1 of 3 symbols selected** on real data. Manifest: `deploy/m.json`.")
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert [line.split("&emsp;|")[1] for line in table[2:]] == ["**XGBoost**", "none", "none"]
    assert "closest is MLP: test accuracy 0.400 &lt; 0.55" in table[3]
    assert "none; closest" not in page
    assert "- EURUSD LSTM: loss was \\| NaN" in page
    assert "- GBPUSD: Data could not be used: GBPUSD.csv: no rows" in page
    assert "- EURUSD: too good" in page
    assert records.run_tags(selections) == {"verdict": "1 of 3 selected: EURUSD XGBoost"}
    counts = {"symbols": 3, "symbols_failed": 1, "symbols_selected": 1, "models_failed": 1}
    assert records.run_metrics(results, selections) == counts


def test_a_registered_models_page_says_what_its_alias_means():
    page = registered_page("EURUSD", Path("deploy/m.json"))
    assert "`models:/EURUSD@champion`" in page
    named = "named when it last selected a model of this symbol"
    assert f"at the version that the deployment manifest `deploy/m.json` {named}" in page
    assert "later run that selects none leaves the alias where it is, and another manifest" in page
    assert "only there" not in page
    assert f"at the version that a deployment manifest {named}" in registered_page("EURUSD", None)
