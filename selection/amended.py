"""Replaces the entries of some symbols in the live manifest, and of no other.

What live trading teaches, a calibration or a model trained again, concerns one symbol. The others
keep their entries as they stand: their models, their digests and what is told of them.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from market.reading.safe_names import some
from selection.deploy_history import Action, Deployment, live_sha256
from selection.deployed_files import (
    DeploymentError,
    manifest_bytes,
    parsed_manifest,
    refusals,
)
from selection.json_safe import to_json_safe
from selection.live_manifest import as_utc, put_live, sha256_of, writing
from selection.manifest import summary_of, validate_manifest
from selection.promotion import DIGITS_SHOWN, Swapped
from selection.signing import SigningError, SigningKey, read_signature
from selection.stored_predictions import prediction_refusals

AMENDED = "amended"


def amend(
    live: Path,
    changed: Mapping[str, Mapping[str, Any]],
    *,
    action: Action,
    reason: str,
    expected_sha256: str,
    now_utc: datetime,
    key: SigningKey | None,
    provenance: Mapping[str, Any] | None = None,
) -> Swapped:
    """Make a manifest live that differs from the live one in some selections alone.

    The one before is kept as ever, and ``deploy rollback`` brings it back.

    Parameters
    ----------
    live : Path
        The live manifest.
    changed : mapping
        By symbol, the whole new entry; the files that it names lie below the manifest's folder
        already.
    action : str
        For the history: ``calibrate`` or ``retrain``.
    reason : str
        For the history, one line.
    expected_sha256 : str
        Of the manifest that the change was made for. Another one has come of other data or other
        models, and the change may be wrong there.
    now_utc : datetime
    key : SigningKey or None
        Signs the new manifest; a signed one is not replaced without.
    provenance : mapping, optional
        What is known of where the change comes from. It stands under ``provenance.amended`` by
        symbol, with action, time and the digest that was replaced; the last change of each symbol
        is kept. A ``run_id`` in it goes to the history too.

    Raises
    ------
    DeploymentError
        If another manifest is live by now, it is signed and no key was given, a symbol is not in
        it, a file that a new entry names is not what it says, or the outcome is no manifest.
        Nothing is replaced then.
    OSError
        If a file cannot be read or written.
    TimeoutError
        If another writer holds the manifest for 30 seconds.
    """
    now_utc = as_utc(now_utc)
    with writing(live):
        content = manifest_bytes(live)
        _check_expected(live, content, expected_sha256)
        _check_key(live, content, key)
        before = parsed_manifest(live, content)
        _check_symbols(live, before, changed)
        said = {
            "action": action,
            "timestamp": now_utc,
            "amended_manifest_sha256": expected_sha256,
            **(provenance or {}),
        }
        manifest = _amended(before, changed, expected_sha256, now_utc, said)
        try:
            validate_manifest(manifest)
        except ValueError as error:
            raise DeploymentError(f"{live}: would not be one any more: {error}") from error
        _check_files(live, changed)
        amended = f"{json.dumps(manifest, indent=2, allow_nan=False)}\n".encode()
        planned = Deployment(
            time_utc=now_utc,
            action=action,
            manifest_sha256=sha256_of(amended),
            replaced_sha256=live_sha256(live),
            reason=reason,
            run_id=said.get("run_id") or before.get("provenance", {}).get("run_id"),
        )
        put_live(live, amended, planned, None if key is None else key.signature(amended))
    return Swapped(manifest, planned.manifest_sha256, planned.replaced_sha256)


def _amended(
    before: Mapping[str, Any],
    changed: Mapping[str, Mapping[str, Any]],
    expected_sha256: str,
    now_utc: datetime,
    said: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the next manifest: keys, symbols and all that is not changed in their old order."""
    new = {symbol: to_json_safe(dict(one)) for symbol, one in changed.items()}
    selections = {symbol: new.get(symbol, one) for symbol, one in before["selections"].items()}
    came_from = dict(before.get("provenance") or {})
    amendments = came_from.get(AMENDED)
    earlier = amendments if isinstance(amendments, dict) else {}
    came_from[AMENDED] = {**earlier, **dict.fromkeys(changed, to_json_safe(dict(said)))}
    return {
        **before,
        "timestamp": to_json_safe(now_utc),
        "previous_manifest_sha256": expected_sha256,
        "provenance": came_from,
        "selections": selections,
        "summary": summary_of(selections),
    }


def _check_expected(live: Path, content: bytes, expected_sha256: str) -> None:
    found = sha256_of(content)
    if found != expected_sha256:
        raise DeploymentError(
            f"{live}: is {found[:DIGITS_SHOWN]} by now, this was made for "
            f"{expected_sha256[:DIGITS_SHOWN]}: it was replaced meanwhile; run it again"
        )


def _check_key(live: Path, content: bytes, key: SigningKey | None) -> None:
    if key is not None:
        return
    try:
        is_signed = read_signature(live.parent, content) is not None
    except SigningError as error:
        raise DeploymentError(f"{live}: {error}") from error
    if is_signed:
        raise DeploymentError(
            f"{live}: is signed, and would not be after this: give the private key "
            "(manifest.sign=true manifest.signing_key=FILE)"
        )


def _check_symbols(
    live: Path, before: Mapping[str, Any], changed: Mapping[str, Mapping[str, Any]]
) -> None:
    if not changed:
        raise DeploymentError(f"{live}: nothing is changed; name a symbol's new entry")
    if unknown := [symbol for symbol in changed if symbol not in before["selections"]]:
        raise DeploymentError(
            f"{live}: holds no {some(unknown)}; there are: {some(list(before['selections']))}"
        )


def _check_files(live: Path, changed: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse entries whose files are not there, or not what they say."""
    lines = [
        line
        for symbol, one in changed.items()
        if one["selected_model"] is not None
        for check in (refusals, prediction_refusals)
        for line in check(live.parent, symbol, one)
    ]
    if lines:
        raise DeploymentError("\n".join(f"{live}: {line}" for line in lines))
