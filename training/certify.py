"""From a selection to what a deployer needs: artifacts, definitions, and the holdout's verdict."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from market.splits import Holdout
from models.base import Model
from models.onnx_model import OnnxModel
from selection import ModelSelector
from selection.certified import COUNCIL, as_judged
from selection.deployed_files import artifact_root, open_model
from selection.evidence import mean_interval
from selection.holdout_ledger import LEDGER, HoldoutLedger, Opening, in_words
from selection.manifest import store_artifacts
from selection.metrics import (
    classification_metrics,
    expectancy_r,
    log_losses,
    no_skill_metrics,
)
from selection.overlap import Overlaps
from selection.selector import nothing_selected
from selection.stored_predictions import PREDICTIONS, store_predictions
from training.onnx_form import write_onnx
from training.prepare import Prepared
from training.result import Payoff, features_digest, window

NO_HOLDOUT = "awaiting live data"
SEALED = "sealed"
INTERVAL_LEVEL = 0.95

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


@dataclass(frozen=True, slots=True)
class Look:
    """Who opens a holdout, and on what data.

    Attributes
    ----------
    source : str
        What identifies the symbol's data.
    market : str
        See `Opening`.
    run_id : str or None
    execution : str or None
        Of the work that the run is a start of; its further starts are no further looks.
    """

    source: str
    market: str
    run_id: str | None
    execution: str | None = None


def described(
    selection: Result,
    models: Mapping[str, Result],
    prepared: Prepared,
    *,
    definitions: Definitions,
    reference: ModelSelector,
) -> dict[str, Any]:
    """Add to a selection what holds whether or not a model was chosen.

    Parameters
    ----------
    selection : mapping
        Of the symbol.
    models : mapping
        The symbol's results by model, null models included.
    reference : ModelSelector
        The reference rule, whose verdict on every model is added.
    """
    names_F = prepared.split.development.names_F
    # The gap that a hard limit reads is that of all fits.
    read = as_judged if selection.get("evidence") else dict
    added: dict[str, Any] = {
        "evidence": None,
        **selection,
        "features": {
            "names": list(names_F),
            "digest": features_digest(names_F),
            "definition": definitions.features,
        },
        "label": definitions.label,
        "split": definitions.split,
        "warnings": list(prepared.notes),
        "reference_verdict": {
            name: reference.reference_verdict(read(result)) for name, result in models.items()
        },
    }
    errors = [result["error"] for result in _candidates(models) if "error" in result]
    if len(errors) == len(_candidates(models)):
        added["reason"] = f"Every model failed: {errors[0]}"
    if selection["selected_model"] is None:
        added["closest"] = _closest(models, selection)
        added["holdout"] = SEALED if prepared.holdout else NO_HOLDOUT
    return added


def deployable(
    selection: Result,
    result: Result,
    prepared: Prepared,
    *,
    model_folder: Path,
    predictions: Path,
    deploy_folder: Path,
    payoff: Payoff,
    look: Look | None,
) -> dict[str, Any]:
    """Store the chosen model's files, and only then open its holdout, which is written down first.

    The files include the model's ONNX form. The holdout judges what a deployer opens from them.

    Parameters
    ----------
    selection, result : mapping
        With a ``selected_model``, and that model's training result.
    model_folder, predictions, deploy_folder : Path
        Where the deployed fit was saved, the file of what was predicted out of fold, and the
        manifest's folder with the ledger of holdouts.
    look : Look or None
        None leaves the holdout sealed.

    Raises
    ------
    OSError, ValueError
        If the ONNX form cannot be made or answers otherwise, the files cannot be stored or opened,
        or the ledger cannot be read or written.
    """
    symbol = result["symbol"]
    stored = _stored(selection, result, prepared, model_folder, deploy_folder)
    model_name, stated = result["model_name"], result[PREDICTIONS]
    entry = store_predictions(predictions, deploy_folder, symbol, model_name, stated)
    holdout = prepared.holdout
    windows = {**result["windows"], **known_windows(prepared)}
    scores: dict[str, Any] | str = SEALED if holdout else NO_HOLDOUT
    if holdout and look:
        opening = _opening(result, windows["holdout"], look)
        openings = HoldoutLedger(deploy_folder / LEDGER).record(opening)
        model = open_model(deploy_folder, symbol, stored)
        scores = {
            **score_holdout(holdout, model, base_rate=_base_rate(prepared), payoff=payoff),
            "openings": {**asdict(openings), "in_words": in_words(openings)},
        }
    return {
        **stored,
        PREDICTIONS: entry,
        "windows": windows,
        "test": _against_no_skill(result, "test_metrics", "test"),
        "out_of_fold": _against_no_skill(result, "out_of_fold", "out_of_fold"),
        "holdout": scores,
        "expectancy": result["expectancy"]["out_of_fold"],
        "decision_threshold": payoff.threshold,
        "calibration": result["calibration"],
    }


def _stored(
    selection: Result, result: Result, prepared: Prepared, model_folder: Path, deploy_folder: Path
) -> dict[str, Any]:
    """Return the selection with its artifacts, the ONNX form among them."""
    symbol, model = result["symbol"], result["model_name"]
    onnx = write_onnx(model_folder, prepared.split.development.x_NF)
    artifacts = store_artifacts(model_folder, deploy_folder, symbol, model)
    stored = {**selection, "artifacts": artifacts}
    path = artifact_root(symbol, stored) / onnx["path"]
    return {**stored, "onnx": {**onnx, "path": path.as_posix()}}


def known_windows(prepared: Prepared) -> dict[str, Any]:
    """Return what holds for every model of a symbol, and for a symbol without one.

    Returns
    -------
    dict
        ``out_of_fold``: first and last decision time and number of the rows that fits predict which
        have not seen them; ``holdout``: the same of the sealed rows, or that there are none.
    """
    split = prepared.split
    predicted = split.development.take(slice(split.folds[0].block.start, len(split.development)))
    return {
        "out_of_fold": window(predicted),
        "holdout": window(prepared.holdout.samples) if prepared.holdout else NO_HOLDOUT,
    }


def score_holdout(
    holdout: Holdout, model: Model | OnnxModel, *, base_rate: float, payoff: Payoff
) -> dict[str, Any]:
    """Score a deployed model on rows that no rule has read.

    Parameters
    ----------
    holdout : Holdout
    model : Model or OnnxModel
        As a deployer opens it.
    base_rate : float
        Share of wins among development rows: what no skill would answer.
    payoff : Payoff

    Returns
    -------
    dict
        Classification metrics, ``intervals`` (95%, of ``accuracy`` and of ``log_loss_gain`` over
        no skill; labels that overlap count for less), ``no_skill`` (accuracy, log_loss) and
        ``expectancy``.
    """
    rows = holdout.samples
    p_N = model.predict_proba(rows.x_NF, holdout.context_NF)[:, 1]
    overlaps = Overlaps(rows.t0_N, rows.t1_N)
    right_N = ((p_N >= 0.5) == (rows.y_N == 1)).astype(np.float64)
    gain_N = log_losses(rows.y_N, np.full(len(rows), base_rate)) - log_losses(rows.y_N, p_N)
    return {
        **classification_metrics(rows.y_N, p_N),
        "effective_rows": overlaps.effective_rows,
        "intervals": {
            "accuracy": mean_interval(right_N, overlaps, INTERVAL_LEVEL),
            "log_loss_gain": mean_interval(gain_N, overlaps, INTERVAL_LEVEL),
        },
        "no_skill": no_skill_metrics(rows.y_N, base_rate),
        "expectancy": expectancy_r(
            rows.y_N, p_N, payoff.threshold, payoff.profit_atr, payoff.stop_atr, payoff.cost_atr
        ),
    }


def _opening(result: Result, seen: Result, look: Look) -> Opening:
    return Opening(
        symbol=result["symbol"],
        market=look.market,
        start_utc=datetime.fromisoformat(seen["start"]),
        end_utc=datetime.fromisoformat(seen["end"]),
        conf_digest=result["digests"]["conf"],
        data_digest=look.source,
        run_id=look.run_id,
        time_utc=datetime.now(UTC),
        model=result["model_name"],
        execution=look.execution,
    )


def _base_rate(prepared: Prepared) -> float:
    development = prepared.split.development
    return float(np.average(development.y_N, weights=development.weight_N))


def _against_no_skill(result: Result, metrics: str, part: str) -> dict[str, Any]:
    scores = {name: result[metrics][name] for name in ("accuracy", "log_loss", "n")}
    return {**scores, "no_skill": result["no_skill"][part]}


def refused(reason: str) -> dict[str, Any]:
    """Return the selection of a symbol that could not be trained at all."""
    return {**nothing_selected(reason), "refused": {}}


def _closest(models: Mapping[str, Result], selection: Result) -> dict[str, Any] | None:
    """Return the refused candidate to look at: the council that was judged, else the best one."""
    trained = [result for result in _candidates(models) if "error" not in result]
    if not trained:
        return None
    if selection.get("evidence"):
        return {"model": COUNCIL, "fails": [selection["reason"]]}
    judged = [result for result in trained if result["model_name"] != COUNCIL] or trained
    best = min(judged, key=lambda result: float(result["out_of_fold"]["log_loss"]))
    model = best["model_name"]
    return {"model": model, "fails": [selection["refused"].get(model, selection["reason"])]}


def _candidates(models: Mapping[str, Result]) -> list[Result]:
    return [result for result in models.values() if not result["null_model"]]
