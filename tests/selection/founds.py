"""What a sweep may have found, made up."""

from datetime import UTC, datetime
from typing import Any

from selection.tuned_file import Adoption, Compared, Score, TunedModel

UNTIL = datetime(2024, 1, 2, 3, tzinfo=UTC)


def found(**changes: Any) -> TunedModel:
    """Return an XGBoost that was adopted after 50 trials, but for some changes."""
    both = Compared(Score(0.66, 0.60, 400), Score(0.64, 0.62, 400))
    given: dict[str, Any] = {
        "symbol": "EURUSD",
        "model": "XGBoost",
        "study": "EURUSD XGBoost 1f2e",
        "hyperparameters": {"max_depth": 2, "learning_rate": 0.05},
        "adopted": True,
        "reason": "better on later rows",
        "trials": {"complete": 38, "pruned": 10, "failed": 2},
        "best_trial": 17,
        "tuned_until": UNTIL,
        "development_digest": "d" * 64,
        "cross_validated": both,
        "later": both,
        "adoption": Adoption(120, 80.5, 0.03, 0.01, 0.002, 0.05, 1),
    }
    return TunedModel(**{**given, **changes})


def turned_down(**changes: Any) -> TunedModel:
    """Return one that was swept and not adopted."""
    test = Adoption(120, 80.5, 0.001, 0.01, 0.4, 0.05, 1)
    given = {"adopted": False, "reason": "no better on later rows", "adoption": test}
    return found(**{**given, **changes})
