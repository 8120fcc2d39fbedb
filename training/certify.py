"""From a selection to what a deployer needs: artifacts, definitions, and the holdout's verdict."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from market.splits import Holdout
from models.store import load_model
from selection import ModelSelector
from selection.manifest import store_artifacts
from selection.metrics import classification_metrics, expectancy_r, no_skill_metrics
from training.prepare import Prepared
from training.result import Payoff, features_digest, window

NO_HOLDOUT = "awaiting live data"
SEALED = "sealed"

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Definitions:
    """How features, labels and split were made, as configured.

    Attributes
    ----------
    features : mapping or None
        None where features were made elsewhere.
    label, split : mapping
    """

    features: Mapping[str, Any] | None
    label: Mapping[str, Any]
    split: Mapping[str, Any]


def described(
    selection: Result,
    models: Mapping[str, Result],
    prepared: Prepared,
    *,
    definitions: Definitions,
    selector: ModelSelector,
) -> dict[str, Any]:
    """Add to a selection what holds whether or not a model was chosen.

    Parameters
    ----------
    selection : mapping
        As `ModelSelector.select_best_models` returns it for the symbol.
    models : mapping
        The symbol's results by model, null models included.
    """
    names_F = prepared.split.development.names_F
    added: dict[str, Any] = {
        **selection,
        "evidence": None,
        "features": {
            "names": list(names_F),
            "digest": features_digest(names_F),
            "definition": definitions.features,
        },
        "label": definitions.label,
        "split": definitions.split,
        "warnings": list(prepared.notes),
        "reference_verdict": {
            name: selector.reference_verdict(result) for name, result in models.items()
        },
    }
    errors = [result["error"] for result in _candidates(models) if "error" in result]
    if len(errors) == len(_candidates(models)):
        added["reason"] = f"Every model failed: {errors[0]}"
    if selection["selected_model"] is None:
        added["closest"] = _closest(models, selector)
        added["holdout"] = SEALED if prepared.holdout else NO_HOLDOUT
    return added


def deployable(
    selection: Result,
    result: Result,
    prepared: Prepared,
    *,
    model_folder: Path,
    deploy_folder: Path,
    payoff: Payoff,
) -> dict[str, Any]:
    """Store the chosen model's files, and only then open its holdout.

    Parameters
    ----------
    selection : mapping
        With a ``selected_model``.
    result : mapping
        That model's training result.
    model_folder : Path
        Where the deployed fit was saved.
    deploy_folder : Path
        The manifest's folder.

    Raises
    ------
    OSError
        If the files cannot be stored.
    """
    symbol, model = result["symbol"], result["model_name"]
    artifacts = store_artifacts(model_folder, deploy_folder, symbol, model)
    scores: dict[str, Any] | str = NO_HOLDOUT
    windows = {**result["windows"], "holdout": NO_HOLDOUT}
    if prepared.holdout is not None:
        artifact = deploy_folder / Path(artifacts[0]["path"]).parent
        development = prepared.split.development
        base_rate = float(np.average(development.y_N, weights=development.weight_N))
        scores = score_holdout(prepared.holdout, artifact, base_rate=base_rate, payoff=payoff)
        windows["holdout"] = window(prepared.holdout.samples)
    return {
        **selection,
        "artifacts": artifacts,
        "windows": windows,
        "test": _against_no_skill(result, "test_metrics", "test"),
        "out_of_fold": _against_no_skill(result, "out_of_fold", "out_of_fold"),
        "holdout": scores,
        "expectancy": result["expectancy"]["out_of_fold"],
        "decision_threshold": payoff.threshold,
    }


def score_holdout(
    holdout: Holdout, artifact: Path, *, base_rate: float, payoff: Payoff
) -> dict[str, Any]:
    """Score the deployed artifact on rows that no rule has read.

    Parameters
    ----------
    holdout : Holdout
    artifact : Path
        Folder of the saved model.
    base_rate : float
        Share of wins among development rows: what no skill would answer.
    payoff : Payoff

    Returns
    -------
    dict
        Classification metrics, ``no_skill`` (accuracy, log_loss) and ``expectancy``.
    """
    rows = holdout.samples
    p_N = load_model(artifact).predict_proba(rows.x_NF, holdout.context_NF)[:, 1]
    return {
        **classification_metrics(rows.y_N, p_N),
        "no_skill": no_skill_metrics(rows.y_N, base_rate),
        "expectancy": expectancy_r(
            rows.y_N, p_N, payoff.threshold, payoff.profit_atr, payoff.stop_atr, payoff.cost_atr
        ),
    }


def _against_no_skill(result: Result, metrics: str, part: str) -> dict[str, Any]:
    scores = {name: result[metrics][name] for name in ("accuracy", "log_loss", "n")}
    return {**scores, "no_skill": result["no_skill"][part]}


def refused(reason: str) -> dict[str, Any]:
    """Return the selection of a symbol that could not be trained at all."""
    return {
        "selected_model": None,
        "test_accuracy": None,
        "train_val_gap": None,
        "reason": reason,
        "action": "MANUAL_REVIEW_REQUIRED",
        "alternatives": [],
    }


def _closest(models: Mapping[str, Result], selector: ModelSelector) -> dict[str, Any] | None:
    """Return the refused candidate with the best out-of-fold log-loss, and what it fails."""
    trained = [result for result in _candidates(models) if "error" not in result]
    if not trained:
        return None
    best = min(trained, key=lambda result: float(result["out_of_fold"]["log_loss"]))
    return {"model": best["model_name"], "fails": selector.failures(best)}


def _candidates(models: Mapping[str, Result]) -> list[Result]:
    return [result for result in models.values() if not result["null_model"]]
