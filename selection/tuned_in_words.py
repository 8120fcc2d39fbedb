"""What is told of a study wherever its model is: in results, in the manifest, to a person."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from selection.certified import in_digits
from selection.tuned import counted
from selection.tuned_file import TunedModel


def tuning_record(tuned: TunedModel) -> dict[str, Any]:
    """Return what a study's model is told with, adopted or not.

    Returns
    -------
    dict
        ``study``, ``trials``, ``n_trials``, ``adopted``, ``reason``, ``tuned_until``; of the test
        on later rows ``p_value``, ``gain`` (nats per row), ``alpha`` and ``look``, None without
        one; ``cross_validated`` and ``later``: the default procedure and the tuned model, None
        likewise; ``in_words``.
    """
    test = tuned.adoption
    compared = {"cross_validated": tuned.cross_validated, "later": tuned.later}
    return {
        "study": tuned.study,
        "trials": dict(tuned.trials),
        "n_trials": tuned.n_trials,
        "adopted": tuned.adopted,
        "reason": tuned.reason,
        "p_value": test.p_value if test else None,
        "gain": test.gain if test else None,
        "alpha": test.alpha if test else None,
        "look": test.look if test else None,
        "tuned_until": tuned.tuned_until,
        **{name: asdict(one) if one else None for name, one in compared.items()},
        "in_words": in_words(tuned),
    }


def in_words(tuned: TunedModel) -> str:
    """Say what came of a study, in one line."""
    test, tried = tuned.adoption, n_trials(tuned.trials)
    if not tuned.adopted or test is None:
        return f"{tried}, not adopted: {tuned.reason}"
    return (
        f"tuned in {tried}: {1000 * test.gain:.1f} thousandths of a nat better than the configured "
        f"procedure on {test.rows} later rows (p = {in_digits(test.p_value)}, "
        f"{test.alpha:g} asked for)"
    )


def n_trials(trials: Mapping[str, int]) -> str:
    """Return ``50 trials``, and how many of them were cut short or failed."""
    less = ", ".join(f"{trials[name]} {name}" for name in ("pruned", "failed") if trials[name])
    return f"{counted(sum(trials.values()))}{f' ({less})' if less else ''}"
