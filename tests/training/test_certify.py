"""The holdout is opened last, for the stored artifact and with the rows before it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.splits import Holdout, Split, WalkForward
from models.store import load_model
from selection import ModelSelector
from selection.json_safe import to_json_safe
from selection.metrics import classification_metrics, expectancy_r, no_skill_metrics
from tests.models.planted import make_model, signal
from tests.training.spies import task, train_task
from training.certify import Definitions, deployable, described, refused, score_holdout
from training.prepare import Prepared
from training.result import Payoff, training_result

PAYOFF = Payoff(profit_atr=2.0, stop_atr=1.0, cost_atr=0.1, threshold=0.55)


def divided() -> tuple[Split, Holdout]:
    """Return 170 rows of development and 30 sealed ones."""
    split, holdout = WalkForward(
        first_train=0.4,
        n_blocks=2,
        holdout_fraction=0.15,
        min_development_rows=100,
        embargo_bars=0,
        min_rows=20,
    ).divide(signal(200, seed=2))
    assert holdout is not None
    return split, holdout


def chosen_result(split: Split, folder: Path) -> dict[str, Any]:
    """Train the logistic regression and return its result."""
    work = task(split, folder, make_model("logistic"))
    result = training_result(
        work,
        train_task(work),
        payoff=PAYOFF,
        null_model=False,
        conf_digest="c0ffee",
        notes=(),
        now=datetime(2024, 5, 6, tzinfo=UTC),
    )
    return dict(to_json_safe(result))


@pytest.mark.parametrize("file", ["lstm", "logistic"])
def test_the_saved_artifact_is_scored_on_the_sealed_rows_with_their_context(
    file: str, tmp_path: Path
) -> None:
    split, holdout = divided()
    model = make_model(file, **({"max_epochs": 2} if file == "lstm" else {}))
    train_task(task(split, tmp_path, model))
    scores = score_holdout(holdout, tmp_path / model.name, base_rate=0.6, payoff=PAYOFF)

    saved, rows = load_model(tmp_path / model.name), holdout.samples
    p_N = saved.predict_proba(rows.x_NF, holdout.context_NF)[:, 1]
    cold_N = saved.predict_proba(rows.x_NF)[:, 1]
    assert np.array_equal(p_N, cold_N) is (file == "logistic")
    for name, value in classification_metrics(rows.y_N, p_N).items():
        assert scores[name] == value
    assert scores["no_skill"] == no_skill_metrics(rows.y_N, 0.6)
    assert scores["expectancy"] == expectancy_r(rows.y_N, p_N, 0.55, 2.0, 1.0, 0.1)
    assert scores["n"] == 30


def test_a_chosen_model_is_stored_and_the_stored_copy_is_what_the_holdout_judges(
    tmp_path: Path,
) -> None:
    split, holdout = divided()
    chosen = chosen_result(split, tmp_path)
    prepared = Prepared(split, holdout, ())
    entry = deployable(
        {"selected_model": chosen["model_name"]},
        chosen,
        prepared,
        model_folder=tmp_path / chosen["model_name"],
        deploy_folder=tmp_path / "deploy",
        payoff=PAYOFF,
    )
    stored = [tmp_path / "deploy" / file["path"] for file in entry["artifacts"]]
    assert [path.name for path in stored] == ["linear.safetensors", "model.json"]
    rate = float(split.development.y_N.mean())
    judged = score_holdout(holdout, stored[0].parent, base_rate=rate, payoff=PAYOFF)
    assert entry["holdout"] == judged
    assert entry["windows"]["holdout"]["rows"] == 30
    assert entry["windows"]["test"] == chosen["windows"]["test"]
    assert entry["expectancy"] == chosen["expectancy"]["out_of_fold"]
    assert entry["decision_threshold"] == 0.55
    assert entry["selected_model"] == "LogisticRegression"


def test_without_a_holdout_the_verdict_awaits_live_data(tmp_path: Path) -> None:
    split, _ = divided()
    chosen = chosen_result(split, tmp_path)
    entry = deployable(
        {},
        chosen,
        Prepared(split, None, ()),
        model_folder=tmp_path / chosen["model_name"],
        deploy_folder=tmp_path / "deploy",
        payoff=PAYOFF,
    )
    assert entry["holdout"] == entry["windows"]["holdout"] == "awaiting live data"


def test_a_refusal_names_the_closest_candidate_that_was_trained(tmp_path: Path) -> None:
    split, holdout = divided()
    good = chosen_result(split, tmp_path)
    worse = {**good, "model_name": "MLP", "out_of_fold": {"log_loss": 9.0}}
    null = {**good, "model_name": "Null", "out_of_fold": {"log_loss": 0.0}, "null_model": True}
    models = {
        "MLP": worse,
        "LR": good,
        "Null": null,
        "LSTM": {"error": "timeout", "null_model": False},
    }
    selector = ModelSelector(max_gap=0.2, min_accuracy=0.999, stability_threshold=0.05)
    definitions = Definitions(features=None, label={"profit": 2}, split={"blocks": 2})
    entry = described(
        refused("No models met quality criteria"),
        models,
        Prepared(split, holdout, ()),
        definitions=definitions,
        selector=selector,
    )
    assert entry["closest"]["model"] == "LogisticRegression"
    assert entry["closest"]["fails"] == selector.failures(good)
    assert entry["closest"]["fails"]
    assert entry["features"]["names"] == [f"feature_{f}" for f in range(4)]
    assert (entry["label"], entry["split"]) == ({"profit": 2}, {"blocks": 2})
    assert set(entry["reference_verdict"]) == set(models)
    assert entry["action"] == "MANUAL_REVIEW_REQUIRED"
