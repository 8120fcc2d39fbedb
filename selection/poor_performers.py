"""Which symbols of a manifest are worth another search: those it has no good model for."""

from collections.abc import Mapping
from typing import Any

from selection.manifest import validate_manifest

# Begins the reason of a symbol that could not be trained: no search can mend that.
NO_DATA = "Data could not be used"


def poor_performers(manifest: Mapping[str, Any], max_test_accuracy: float) -> list[str]:
    """Return symbols under manual review, or whose models all test poorly, in the manifest's order.

    Parameters
    ----------
    manifest : mapping
        As read from JSON.
    max_test_accuracy : float
        A symbol is poor where the best test accuracy, of its chosen model and the alternatives, is
        below this; in [0, 1].

    Returns
    -------
    list of str
        Without the symbols that `without_data` returns.

    Raises
    ------
    ValueError
        One line: it is no deployment manifest, or the limit is out of range.
    """
    if not 0 <= max_test_accuracy <= 1:
        raise ValueError(f"max_test_accuracy must be in [0, 1], was {max_test_accuracy}")
    left_out = without_data(manifest)
    return [
        symbol
        for symbol, selection in manifest["selections"].items()
        if symbol not in left_out and _is_poor(selection, max_test_accuracy)
    ]


def without_data(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the symbols whose data could not be used, each with the reason; raises as above."""
    validate_manifest(manifest)
    return {
        symbol: selection["reason"]
        for symbol, selection in manifest["selections"].items()
        if selection["selected_model"] is None and selection["reason"].startswith(f"{NO_DATA}:")
    }


def _is_poor(selection: Mapping[str, Any], max_test_accuracy: float) -> bool:
    if selection["selected_model"] is None:
        return True
    others = (one["test_accuracy"] for one in selection["alternatives"])
    known = [one for one in (selection["test_accuracy"], *others) if one is not None]
    return bool(max(known) < max_test_accuracy)
