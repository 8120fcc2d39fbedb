"""The one scoring of the sealed holdout, after selection, with the artifact that is deployed."""

from pathlib import Path
from typing import Any

from market.splits import Holdout
from models.store import load_model
from selection.metrics import classification_metrics, expectancy_r, no_skill_metrics
from training.result import Payoff, window


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
        Classification metrics, ``no_skill`` (accuracy, log_loss), ``expectancy`` and ``window``.
    """
    rows = holdout.samples
    p_N = load_model(artifact).predict_proba(rows.x_NF, holdout.context_NF)[:, 1]
    return {
        **classification_metrics(rows.y_N, p_N),
        "no_skill": no_skill_metrics(rows.y_N, base_rate),
        "expectancy": expectancy_r(
            rows.y_N, p_N, payoff.threshold, payoff.profit_atr, payoff.stop_atr, payoff.cost_atr
        ),
        "window": window(rows),
    }
