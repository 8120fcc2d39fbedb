"""The holdout is opened last, for the stored artifact and with the rows before it, and on record.

Axes: N rows.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import training.certify
from market.splits import Holdout, Split, WalkForward
from models.onnx_graph import add_answers
from models.onnx_model import OnnxModel
from models.store import load_model
from selection import ModelSelector
from selection.deployed_files import open_model
from selection.evidence import mean_interval
from selection.holdout_ledger import LEDGER, REAL_MARKET, HoldoutLedger
from selection.json_safe import to_json_safe
from selection.metrics import classification_metrics, expectancy_r, log_losses, no_skill_metrics
from selection.overlap import Overlaps
from tests.models.planted import HOUR, make_model, signal
from tests.training.spies import task, train_task
from training.certify import (
    Definitions,
    Look,
    deployable,
    described,
    refused,
    score_holdout,
)
from training.predictions import write_predictions
from training.prepare import Prepared
from training.result import Payoff, training_result

PREDICTED = "predicted.parquet"
PAYOFF = Payoff(profit_atr=2.0, stop_atr=1.0, cost_atr=0.1, threshold=0.55)
REFERENCE = ModelSelector(max_gap=0.2, min_accuracy=0.999, stability_threshold=0.05)


def divided(label_bars: int = 2) -> tuple[Split, Holdout]:
    """Return 170 rows of development, less those purged, and 30 sealed ones."""
    split, holdout = WalkForward(
        first_train=0.4,
        n_blocks=2,
        holdout_fraction=0.15,
        min_development_rows=100,
        embargo_bars=0,
        min_rows=20,
    ).divide(signal(200, seed=2, label_bars=label_bars))
    assert holdout is not None
    return split, holdout


def chosen_result(split: Split, folder: Path) -> dict[str, Any]:
    """Train the logistic regression and return its result."""
    work = task(split, folder, make_model("logistic"), calibrates=True)
    trained = train_task(work)
    result = training_result(
        work,
        trained,
        payoff=PAYOFF,
        null_model=False,
        conf_digest="c0ffee",
        notes=(),
        now=datetime(2024, 5, 6, tzinfo=UTC),
    )
    written = write_predictions(folder / PREDICTED, split, trained)
    return {**to_json_safe(result), "predictions": to_json_safe(written)}


Deploy = Callable[..., dict[str, Any]]


@pytest.fixture
def deploy(tmp_path: Path) -> Deploy:
    """Return a function that deploys one and the same model, with what is changed in its result."""
    split, holdout = divided()
    chosen = chosen_result(split, tmp_path)
    prepared = Prepared(split, holdout, ())

    def deploy(
        prepared: Prepared = prepared, *, opens_holdout: bool = True, **changes: Any
    ) -> dict[str, Any]:
        result = {**chosen, "digests": {**chosen["digests"], **changes}}
        return deployable(
            {"selected_model": chosen["model_name"]},
            result,
            prepared,
            model_folder=tmp_path / chosen["model_name"],
            predictions=tmp_path / PREDICTED,
            deploy_folder=tmp_path / "deploy",
            payoff=PAYOFF,
            look=Look("d1gest", REAL_MARKET, "run 1") if opens_holdout else None,
        )

    return deploy


@pytest.mark.parametrize("file", ["lstm", "logistic"])
def test_the_saved_artifact_is_scored_on_the_sealed_rows_with_their_context(
    file: str, tmp_path: Path
) -> None:
    split, holdout = divided()
    model = make_model(file, **({"max_epochs": 2} if file == "lstm" else {}))
    train_task(task(split, tmp_path, model, calibrates=True))
    saved, rows = load_model(tmp_path / model.name), holdout.samples
    scores = score_holdout(holdout, saved, base_rate=0.6, payoff=PAYOFF)
    p_N = saved.predict_proba(rows.x_NF, holdout.context_NF)[:, 1]
    cold_N = saved.predict_proba(rows.x_NF)[:, 1]
    assert np.array_equal(p_N, cold_N) is (file == "logistic")
    for name, value in classification_metrics(rows.y_N, p_N).items():
        assert scores[name] == value
    assert scores["no_skill"] == no_skill_metrics(rows.y_N, 0.6)
    assert scores["expectancy"] == expectancy_r(rows.y_N, p_N, 0.55, 2.0, 1.0, 0.1)
    assert scores["n"] == 30


def test_every_figure_of_the_holdout_comes_with_its_interval(tmp_path: Path) -> None:
    split, holdout = divided()
    train_task(task(split, tmp_path, make_model("logistic")))
    model = load_model(tmp_path / "LogisticRegression")
    scores = score_holdout(holdout, model, base_rate=0.6, payoff=PAYOFF)
    rows, overlaps = holdout.samples, Overlaps(holdout.samples.t0_N, holdout.samples.t1_N)
    p_N = model.predict_proba(rows.x_NF)[:, 1]
    right_N = ((p_N >= 0.5) == (rows.y_N == 1)).astype(float)
    gain_N = log_losses(rows.y_N, np.full(30, 0.6)) - log_losses(rows.y_N, p_N)
    intervals = scores["intervals"]
    assert intervals["accuracy"] == mean_interval(right_N, overlaps, 0.95)
    assert intervals["log_loss_gain"] == mean_interval(gain_N, overlaps, 0.95)
    low, high = intervals["accuracy"]
    assert low < scores["accuracy"] < high
    low, high = intervals["log_loss_gain"]
    assert low < scores["no_skill"]["log_loss"] - scores["log_loss"] < high
    assert scores["effective_rows"] == overlaps.effective_rows < 30


def test_labels_that_overlap_make_the_intervals_wider(tmp_path: Path) -> None:
    split, holdout = divided()
    train_task(task(split, tmp_path, make_model("logistic")))
    model, widths = load_model(tmp_path / "LogisticRegression"), []
    for label_bars in (1, 10):
        rows = holdout.samples
        longer = replace(rows, t1_N=rows.t0_N + label_bars * HOUR)
        spread = replace(holdout, samples=longer)
        scores = score_holdout(spread, model, base_rate=0.6, payoff=PAYOFF)
        low, high = scores["intervals"]["log_loss_gain"]
        widths.append(high - low)
    assert widths[1] > 2 * widths[0]


def test_a_chosen_model_is_stored_and_the_stored_copy_is_what_the_holdout_judges(
    deploy: Deploy, tmp_path: Path
) -> None:
    split, holdout = divided()
    entry, chosen = deploy(), chosen_result(split, tmp_path)
    stored = [tmp_path / "deploy" / file["path"] for file in entry["artifacts"]]
    assert [path.name for path in stored] == ["linear.safetensors", "model.json", "model.onnx"]
    rate, opened = float(split.development.y_N.mean()), OnnxModel(stored[2].read_bytes())
    judged = score_holdout(holdout, opened, base_rate=rate, payoff=PAYOFF)
    assert {**entry["holdout"], "openings": None} == {**judged, "openings": None}
    assert entry["windows"]["holdout"]["rows"] == 30
    assert entry["windows"]["test"] == chosen["windows"]["test"]
    assert entry["expectancy"] == chosen["expectancy"]["out_of_fold"]
    assert entry["calibration"] == chosen["calibration"]
    assert entry["out_of_fold"]["log_loss"] == chosen["out_of_fold"]["log_loss"]
    assert entry["test"]["no_skill"] == chosen["no_skill"]["test"]
    assert entry["decision_threshold"] == 0.55
    assert entry["selected_model"] == "LogisticRegression"


def test_the_onnx_form_of_a_chosen_model_is_listed_and_described(
    deploy: Deploy, tmp_path: Path
) -> None:
    entry = deploy()
    onnx = entry["onnx"]
    assert onnx["path"] == entry["artifacts"][2]["path"]
    assert (onnx["input"], onnx["output"], onnx["shape"]) == (
        "features",
        "probabilities",
        [None, 4],
    )
    assert (onnx["lookback_rows"], onnx["opset"]) == (0, {"ai.onnx": 13, "ai.onnx.ml": 2})
    assert 0 <= onnx["largest_difference"] < 1e-12
    assert onnx["rows_compared"] == len(divided()[0].development) + 6
    opened, saved = (
        open_model(tmp_path / "deploy", "EURUSD", {**entry, "features": {}, **changed})
        for changed in ({}, {"onnx": None})
    )
    assert (type(opened), saved.name) == (OnnxModel, "LogisticRegression")
    x_NF = divided()[0].development.x_NF
    assert np.allclose(opened.predict_proba(x_NF), saved.predict_proba(x_NF), rtol=0, atol=1e-12)


def test_a_model_whose_onnx_form_answers_otherwise_is_not_deployed(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "models.base.add_answers",
        lambda graph, name, shift, calibration: add_answers(graph, name, shift + 1e-3, calibration),
    )
    with pytest.raises(ValueError, match=r"answers 0.* where the model answers 0.*at most; report"):
        deploy()
    assert not (tmp_path / "deploy").exists()


def test_the_predictions_of_a_chosen_model_are_stored_with_the_end_of_what_it_has_learnt_from(
    deploy: Deploy, tmp_path: Path
) -> None:
    entry, development = deploy()["predictions"], divided()[0].development
    stored = tmp_path / "deploy" / entry["path"]
    assert stored.read_bytes() == (tmp_path / PREDICTED).read_bytes()
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == entry["sha256"]
    assert stored.stat().st_size == entry["bytes"]
    times_N = pl.read_parquet(stored)["timestamp"]
    assert len(times_N) == entry["rows"]
    assert datetime.fromisoformat(entry["first_decision"]) == times_N[0]
    assert datetime.fromisoformat(entry["last_decision"]) == times_N[-1]
    end = development.t1_N.max().astype(object).replace(tzinfo=UTC)
    assert datetime.fromisoformat(entry["development_end"]) == end > times_N[-1]


def test_predictions_that_changed_before_they_were_stored_are_not_deployed(
    deploy: Deploy, tmp_path: Path
) -> None:
    (tmp_path / PREDICTED).write_bytes(b"other")
    with pytest.raises(ValueError, match="has changed since it was written; train again"):
        deploy()


def test_an_opening_is_on_record_with_what_identifies_it(deploy: Deploy, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    entry = deploy()
    (opening,) = HoldoutLedger(tmp_path / "deploy" / LEDGER).recorded()
    rows = divided()[1].samples
    assert opening.start_utc == rows.t0_N[0].astype(object).replace(tzinfo=UTC)
    assert opening.end_utc == rows.t0_N[-1].astype(object).replace(tzinfo=UTC)
    assert (opening.symbol, opening.model) == ("EURUSD", "LogisticRegression")
    assert (opening.conf_digest, opening.data_digest) == ("c0ffee", "d1gest")
    assert (opening.market, opening.run_id) == (REAL_MARKET, "run 1")
    assert before <= opening.time_utc <= datetime.now(UTC)
    assert entry["holdout"]["openings"]["n_openings"] == 1
    assert entry["holdout"]["openings"]["in_words"] == "opened once"


def test_a_holdout_opened_again_says_how_often_and_by_how_many(deploy: Deploy) -> None:
    deploy()
    again = deploy()["holdout"]["openings"]
    assert (again["n_openings"], again["n_configurations"]) == (2, 1)
    assert again["in_words"] == "opened 2 times, by one configuration"
    other = deploy(conf="another")["holdout"]["openings"]
    assert (other["n_openings"], other["n_configurations"]) == (3, 2)
    assert other["in_words"].endswith("by 2 configurations: its figures are no longer unseen")


def test_opened_by_two_configurations_is_opened_twice(deploy: Deploy) -> None:
    deploy()
    openings = deploy(conf="another")["holdout"]["openings"]
    assert (openings["n_openings"], openings["n_configurations"]) == (2, 2)
    assert openings["first_before_utc"] == openings["latest_before_utc"] is not None


def test_the_opening_is_written_down_before_a_score_is_computed(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_record = []

    def opens(*asked: Any) -> Any:
        on_record.append(len(HoldoutLedger(tmp_path / "deploy" / LEDGER).recorded()))
        return open_model(*asked)

    monkeypatch.setattr(training.certify, "open_model", opens)
    deploy()
    assert on_record == [1]


@pytest.mark.parametrize("content", [b"no opening\n", b'{"symbol": "EURUSD"}\n', None])
def test_a_ledger_that_cannot_be_read_keeps_the_holdout_closed(
    content: bytes | None, deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = tmp_path / "deploy" / LEDGER
    ledger.parent.mkdir()
    if content is None:
        ledger.mkdir()
    else:
        ledger.write_bytes(content)
    scored: list[Any] = []
    monkeypatch.setattr(training.certify, "open_model", lambda *asked: scored.append(asked))
    with pytest.raises((ValueError, OSError), match=LEDGER):
        deploy()
    assert scored == []
    assert content is None or ledger.read_bytes() == content


def test_without_a_holdout_the_verdict_awaits_live_data_and_nothing_is_opened(
    deploy: Deploy, tmp_path: Path
) -> None:
    entry = deploy(Prepared(divided()[0], None, ()))
    assert entry["holdout"] == entry["windows"]["holdout"] == "awaiting live data"
    assert not (tmp_path / "deploy" / LEDGER).exists()


def test_a_holdout_that_is_to_stay_sealed_is_neither_scored_nor_in_the_ledger(
    deploy: Deploy, tmp_path: Path
) -> None:
    entry = deploy(opens_holdout=False)
    assert entry["holdout"] == "sealed"
    assert entry["windows"]["holdout"]["rows"] > 0
    assert not (tmp_path / "deploy" / LEDGER).exists()


def described_refusal(
    selection: dict[str, Any], models: dict[str, Any], *, holdout: Any = None
) -> dict[str, Any]:
    return described(
        selection,
        models,
        Prepared(divided()[0], holdout, ("labels overlap",)),
        definitions=Definitions(features=None, label={"profit": 2}, split={"blocks": 2}),
        reference=REFERENCE,
    )


def board(folder: Path) -> dict[str, Any]:
    """Return results by model: a good and a worse candidate, a null model and a failed one."""
    good = chosen_result(divided()[0], folder)
    return {
        "MLP": {**good, "model_name": "MLP", "out_of_fold": {"log_loss": 9.0}},
        "LogisticRegression": good,
        "Null": {
            **good,
            "model_name": "Null",
            "out_of_fold": {"log_loss": 0.0},
            "null_model": True,
        },
        "LSTM": {"error": "timeout", "null_model": False},
    }


def test_a_refusal_of_the_reference_names_the_closest_candidate_that_was_trained(
    tmp_path: Path,
) -> None:
    models = board(tmp_path)
    why = {name: f"{name} breaks a limit" for name in models}
    selection = {**refused("No models met quality criteria"), "refused": why}
    entry = described_refusal(selection, models)
    fails = ["LogisticRegression breaks a limit"]
    assert entry["closest"] == {"model": "LogisticRegression", "fails": fails}
    assert entry["features"]["names"] == [f"feature_{f}" for f in range(4)]
    assert (entry["label"], entry["split"]) == ({"profit": 2}, {"blocks": 2})
    verdicts = {name: REFERENCE.reference_verdict(one) for name, one in models.items()}
    assert entry["reference_verdict"] == verdicts
    assert entry["action"] == "MANUAL_REVIEW_REQUIRED"
    assert entry["reason"] == "No models met quality criteria"
    assert (entry["warnings"], entry["evidence"]) == (["labels overlap"], None)


def test_a_refusal_on_evidence_names_the_council_that_was_judged(tmp_path: Path) -> None:
    evidence = {"p_value": 0.4}
    selection = {**refused("no effect seen"), "refused": {}, "evidence": evidence}
    entry = described_refusal(selection, board(tmp_path))
    assert entry["closest"] == {"model": "Council", "fails": ["no effect seen"]}
    assert entry["evidence"] == evidence


def test_the_council_is_the_closest_of_the_reference_only_where_nothing_else_was_trained(
    tmp_path: Path,
) -> None:
    models = board(tmp_path)
    council = {**models["MLP"], "model_name": "Council", "out_of_fold": {"log_loss": 0.1}}
    selection = {**refused("none"), "refused": {"LogisticRegression": "gap", "Council": "unknown"}}
    entry = described_refusal(selection, {**models, "Council": council})
    assert entry["closest"]["model"] == "LogisticRegression"
    left = {"Council": council, "LSTM": models["LSTM"]}
    assert described_refusal(selection, left)["closest"]["model"] == "Council"


def test_where_nothing_is_chosen_the_holdout_stays_sealed(tmp_path: Path) -> None:
    selection, models = {**refused("none"), "refused": {}}, board(tmp_path)
    # Whoever looked into this one would find that it holds nothing.
    entry = described_refusal(selection, models, holdout=object())
    assert entry["holdout"] == "sealed"
    assert "windows" not in entry
    assert described_refusal(selection, models)["holdout"] == "awaiting live data"


def test_where_every_model_failed_the_first_error_is_the_reason(tmp_path: Path) -> None:
    models = {**board(tmp_path), "MLP": {"error": "no rows", "null_model": False}}
    del models["LogisticRegression"]
    entry = described_refusal({**refused("none"), "refused": {}}, models)
    assert entry["reason"] == "Every model failed: no rows"
    assert entry["closest"] is None
