"""The ONNX form of a model that is to be deployed: written, and held against the model itself.

Axes: N rows, F features.
"""

from pathlib import Path
from typing import Any

import numpy as np

from market.bars import FloatArray
from models.base import Model, ModelError
from models.onnx_graph import FEATURES, FILE_NAME, ML, OPSET, OPSET_ML, PROBABILITIES
from models.onnx_model import OnnxModel
from models.store import load_model
from selection.atomic import write_bytes_atomically

MAX_DIFFERENCE = 1e-5
# Of float32 arithmetic done in another order, relative to log-odds beyond 1. A calibration that is
# steep where a row lies makes more of it than MAX_DIFFERENCE, and of the model's own answers too.
LOG_ODDS_ROUNDING = 2e-6
MAX_ROWS = 1000
# A float32 holds it, with room to add many.
LARGEST = 1e30


def write_onnx(folder: Path, x_NF: FloatArray) -> dict[str, Any]:
    """Write a saved model as ONNX beside itself, once it answers as the model does.

    Parameters
    ----------
    folder : Path
        Of the saved model.
    x_NF : float64 array, shape (n_rows, n_features)
        Rows to compare on: at most 1,000 of them, spread evenly, and rows beyond what they reach.

    Returns
    -------
    dict
        What the manifest says of it; ``path`` is relative to the folder.

    Raises
    ------
    ValueError
        If it cannot be made or opened, or a probability differs by more than 1e-5 and by more
        than float32 rounding explains.
    OSError
        If it cannot be written.
    """
    try:
        model = load_model(folder)
        content = model.to_onnx()
        opened = OnnxModel(content)
    except ModelError as error:
        raise ValueError(f"{folder}: its ONNX form: {error}") from error
    probe_NF = _probe_rows(x_NF)
    difference = _difference(model, opened, probe_NF)
    write_bytes_atomically(folder / FILE_NAME, content)
    window = [model.context_rows + 1] if model.context_rows else []
    return {
        "path": FILE_NAME,
        "input": FEATURES,
        "output": PROBABILITIES,
        "shape": [None, *window, len(model.names_F)],
        "lookback_rows": model.context_rows,
        "opset": {"ai.onnx": OPSET, ML: OPSET_ML},
        "rows_compared": len(probe_NF),
        "largest_difference": difference,
    }


def _probe_rows(x_NF: FloatArray) -> FloatArray:
    spread = np.linspace(0, len(x_NF) - 1, min(len(x_NF), MAX_ROWS)).astype(int)
    low_F, high_F = x_NF.min(axis=0), x_NF.max(axis=0)
    with np.errstate(over="ignore"):  # and cut off below
        reach_F = 9 * (high_F - low_F)
        made_up = [low_F, high_F, np.median(x_NF, axis=0), low_F - reach_F, high_F + reach_F]
    made_up = [*np.clip(made_up, -LARGEST, LARGEST), np.zeros(x_NF.shape[1])]
    return np.concatenate([x_NF[spread], made_up])


def _difference(model: Model, opened: OnnxModel, x_NF: FloatArray) -> float:
    log_odds_N = model.raw_log_odds(x_NF)
    rounding_N = LOG_ODDS_ROUNDING * np.maximum(1.0, np.abs(log_odds_N))
    low_N, high_N = (model.calibration(log_odds_N + sign * rounding_N) for sign in (-1, 1))
    p_N, wanted_N = opened.predict_proba(x_NF)[:, 1], model.calibration(log_odds_N)
    unexplained_N = np.maximum(p_N - high_N, low_N - p_N)
    # A probability that is not a number compares with nothing.
    if not (unexplained_N <= MAX_DIFFERENCE).all():
        row = int(np.argmax(np.where(np.isnan(unexplained_N), np.inf, unexplained_N)))
        raise ValueError(
            f"the ONNX form of {model.name} answers {p_N[row]} where the model answers "
            f"{wanted_N[row]}, expected a difference of {MAX_DIFFERENCE:g} at most; report this"
        )
    return float(np.abs(p_N - wanted_N).max())
