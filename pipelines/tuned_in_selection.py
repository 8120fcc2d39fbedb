"""What a selection says of the sweep that its symbol's models went through."""

from collections.abc import Mapping
from typing import Any

from market.samples import mean_uniqueness
from selection.tuned import counted
from training.prepare import Prepared

Result = Mapping[str, Any]

IN_MANIFEST = ("study", "trials", "adopted", "p_value", "gain", "alpha", "look", "tuned_until")


def swept(models: Mapping[str, Result]) -> dict[str, dict[str, Any]]:
    """Return by model what came of its study, for each result of a model that was swept."""
    return {
        name: {key: tuning[key] for key in (*IN_MANIFEST, "in_words")}
        for name, result in models.items()
        if (tuning := result.get("tuning")) is not None
    }


def why_no_help(
    selection: Result, models: Mapping[str, Result], prepared: Prepared, data_warning: str | None
) -> str | None:
    """Say why a sweep has not brought a symbol a model, and what its data are like.

    Parameters
    ----------
    selection : mapping
        Of the symbol.
    models : mapping
        Its results by model.
    data_warning : str or None
        The gravest of its bars.

    Returns
    -------
    str or None
        Two sentences; None where a model was selected, or none was swept.
    """
    found = swept(models)
    if selection["selected_model"] is not None or not found:
        return None
    tried = ", ".join(
        f"{name} ({counted(sum(one['trials'].values()))})" for name, one in found.items()
    )
    evidence = selection.get("evidence")
    why = str(selection["reason"])
    if evidence and not evidence["passes"]:
        why = (
            "the council, which is never tuned, finds no signal, and no hyperparameters can change "
            "that"
        )
    return f"The sweep of {tried} did not help: {why}. {_of_its_data(prepared, data_warning)}"


def _of_its_data(prepared: Prepared, data_warning: str | None) -> str:
    gravest = next(iter(prepared.notes), data_warning)
    if gravest is not None:
        return f"The data report says: {gravest}"
    development = prepared.split.development
    return (
        f"The data report warns of nothing: {len(development)} labelled rows, "
        f"{development.y_N.mean():.0%} wins, label uniqueness {mean_uniqueness(development):.2f}."
    )
