"""Flags features that predict too well alone to be honest: most likely the future is in them."""

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray, mean_uniqueness
from market.splits import Split
from selection.metrics import classification_metrics

N_BINS = 10
SIGMAS = 4.0
# However few rows there are, this much is no accident.
CERTAIN_AUC = 0.97


def implausible_features(split: Split, max_auc: float) -> list[str]:
    """Return a sentence for each feature whose own later skill is implausible.

    Each feature's win rate by decile is learnt on the rows that the first fold trains on, and
    ranks all rows after them. A market does not give so much to one column.

    Parameters
    ----------
    split : Split
    max_auc : float
        Area under the ROC curve that a single feature may reach. What so few rows, their labels
        overlapping as they do, can reach by chance (four standard errors) is not flagged either,
        short of 0.97.
    """
    development, first = split.development, split.folds[0]
    later = slice(first.block.start, len(development))
    rows = development.take(later)
    y_N = rows.y_N
    if len(first.train_N) == 0 or len(np.unique(y_N)) < 2:
        return []
    wins, losses = int(y_N.sum()), int(len(y_N) - y_N.sum())
    variance = (wins + losses + 1) / (12 * wins * losses * mean_uniqueness(rows))
    limit = max(max_auc, min(0.5 + SIGMAS * np.sqrt(variance), CERTAIN_AUC))
    flags = []
    for f, name in enumerate(development.names_F):
        score_N = _decile_rates(
            development.x_NF[first.train_N, f],
            development.y_N[first.train_N],
            rows.x_NF[:, f],
        )
        auc = classification_metrics(y_N, score_N)["roc_auc"]
        if auc is not None and auc > limit:
            flags.append(
                f"feature {name} alone ranks later outcomes with AUC {auc:.2f}: check that it is "
                "known at the decision time"
            )
    return flags


def _decile_rates(train_N: FloatArray, y_N: IntArray, later_N: FloatArray) -> FloatArray:
    edges = np.unique(np.quantile(train_N, np.linspace(0, 1, N_BINS + 1)[1:-1]))
    bin_N = np.searchsorted(edges, train_N)
    rows = np.bincount(bin_N, minlength=len(edges) + 1)
    wins = np.bincount(bin_N, weights=y_N, minlength=len(edges) + 1)
    rates = (wins + y_N.mean()) / (rows + 1)
    return np.asarray(rates[np.searchsorted(edges, later_N)])
