"""What selection makes of models that a sweep has tuned; the council is never one of them."""

from collections.abc import Mapping
from typing import Any

# Of a swept model's chance to take the council's place by luck: what the configured procedure has,
# and what the first tuned candidate. Each further one has half of the one before it, so that all of
# them together have no more than a model that was never swept.
SHARE_OF_SWEPT = 1 / 3

Result = Mapping[str, Any]


def chance_share(result: Result) -> float:
    """Return how much of one model's chance to replace the council by luck this result may take.

    A swept model may do so as configured, as tuned after one look at the later rows, or after more:
    only one of these is met in a run, and which one has been decided by the rows it is judged on.
    """
    tuning = result.get("tuning")
    if tuning is None:
        return 1.0
    further = (tuning["look"] or 1) - 1 if tuning["adopted"] else 0
    return SHARE_OF_SWEPT / 2.0**further


def is_tuned(result: Result) -> bool:
    """Return whether a model was fitted with what a sweep found."""
    tuning = result.get("tuning")
    return tuning is not None and bool(tuning["adopted"])


def n_trials(result: Result) -> str:
    """Return ``50 trials``, or nothing for a model that was not swept."""
    tuning = result.get("tuning")
    return "" if tuning is None else counted(tuning["n_trials"])


def counted(number: int) -> str:
    """Return ``50 trials``."""
    return f"{number} trial{'s' * (number != 1)}"


def judged_on(result: Result) -> str:
    """Say on which rows a tuned model was judged, to follow a sentence; nothing for any other."""
    if not is_tuned(result):
        return ""
    tuning = result["tuning"]
    return (
        f", tuned ({n_trials(result)}) and judged on the {tuning['judged_rows']} rows from "
        f"{tuning['tuned_until'][:10]} on alone"
    )
