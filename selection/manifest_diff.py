"""What changes for whoever trades by a manifest when another takes its place."""

from collections.abc import Mapping
from typing import Any

from selection.live_manifest import sha256_of
from selection.tuned import counted

DIGITS_SHOWN = 12
_AS_IT_STANDS = ("decision_threshold", "expected_accuracy", "test_accuracy", "reason")

Change = tuple[Any, Any]


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, dict[str, Change]]:
    """Return what is different, by symbol: a symbol of which nothing is has no entry.

    Parameters
    ----------
    before, after : mapping
        Two manifests.

    Returns
    -------
    dict of dict
        By symbol and by what changed, what it was and what it is: ``symbol`` (whether the manifest
        has it), ``selected_model``, ``artifacts`` (a digest of all digests), ``features`` (theirs),
        ``tuned`` (the trials behind the chosen model's hyperparameters), ``decision_threshold``,
        ``expected_accuracy``, ``test_accuracy`` and ``reason``.
    """
    symbols = dict.fromkeys([*before["selections"], *after["selections"]])
    found = {}
    for symbol in symbols:
        was, now = (_facts(one["selections"].get(symbol)) for one in (before, after))
        changes = {name: (was[name], now[name]) for name in was if was[name] != now[name]}
        if changes:
            found[symbol] = changes
    return found


def _facts(selection: Mapping[str, Any] | None) -> dict[str, Any]:
    held = selection or {}
    digests = sorted((one["path"], one["sha256"]) for one in held.get("artifacts", ()))
    features = held.get("features", {}).get("digest")
    return {
        "symbol": "listed" if selection is not None else None,
        "selected_model": held.get("selected_model"),
        "artifacts": sha256_of(repr(digests).encode())[:DIGITS_SHOWN] if digests else None,
        "features": features[:DIGITS_SHOWN] if features else None,
        "tuned": _trials(held),
        **{name: held.get(name) for name in _AS_IT_STANDS},
    }


def _trials(selection: Mapping[str, Any]) -> str | None:
    tuning = selection.get("tuning", {}).get(selection.get("selected_model"), {})
    return counted(sum(tuning["trials"].values())) if tuning.get("adopted") else None
