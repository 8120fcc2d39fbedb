"""Makes another manifest the live one: one trained elsewhere, or an earlier one."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from market.reading.safe_names import printable
from selection.challenges import Challenges
from selection.deploy_history import Action, Deployment, live_sha256, read_history
from selection.deployed_files import (
    DeploymentError,
    artifact_root,
    manifest_bytes,
    parsed_manifest,
    refusals,
    verified_bytes,
)
from selection.holdout_ledger import LEDGER, HoldoutLedger
from selection.live_manifest import (
    HISTORY,
    Kept,
    kept_manifests,
    put_live,
    sha256_of,
    writing,
)
from selection.manifest import place_files
from selection.plain_files import NotPlainError, read_plain
from selection.signing import SigningError, check_signature, read_signature
from selection.stored_predictions import copy_predictions, prediction_refusals
from selection.strict_json import MOST_BYTES

ARTIFACTS = "artifacts"
LIVE = "live"
DIGITS_SHOWN = 12
_DIGEST = re.compile(r"[0-9a-f]{4,64}")
_MOST_LISTED = 6


@dataclass(frozen=True, slots=True)
class Swapped:
    """A manifest that has just become the live one.

    Attributes
    ----------
    manifest : dict
    sha256 : str
    replaced_sha256 : str or None
        Of the one that was live before.
    warnings : tuple of str
        What is not as the manifest says, though trading live does not need it.
    """

    manifest: dict[str, Any]
    sha256: str
    replaced_sha256: str | None
    warnings: tuple[str, ...] = ()


def promote(
    source: Path, live: Path, *, reason: str | None, public_key: Path | None, now_utc: datetime
) -> Swapped:
    """Take a manifest made elsewhere, with all its files and its signature, and make it live.

    Its bytes stay as they are, and so do its digest and its signature. Files are copied to where it
    names them, beside the live manifest, before it takes the name, and so are the openings of its
    symbols' holdouts and the judgements of their challengers: what was seen there is not unseen
    here.

    Parameters
    ----------
    source, live : Path
        The manifest to take, and the one to replace; there may be none yet.
    reason : str or None
        For the history; None says where it came from.
    public_key : Path or None
        It must be signed by its owner.
    now_utc : datetime

    Raises
    ------
    DeploymentError
        If the manifest, a file, or a record of openings or judgements is refused, it is live
        already, or it is of simulated data and the live one of real data; nothing is replaced then.
    OSError
        If a file cannot be read or written.
    """
    content = manifest_bytes(source, public_key=public_key)
    manifest = parsed_manifest(source, content)
    _check_all(source, source.parent, manifest, predictions=True)
    copy_models(source.parent, live.parent, manifest)
    signature = _signature(source, source.parent, content)
    came_from = printable(str(source.resolve()))
    planned = _planned(
        "promote", live, content, manifest, reason or f"Promoted from {came_from}", now_utc
    )
    take_openings(source.parent, live.parent, manifest)
    _take_judgements(source, live, manifest)
    return _swapped(live, content, manifest, planned, signature, came_from)


def roll_back(
    live: Path, to: str | None, *, reason: str | None, public_key: Path | None, now_utc: datetime
) -> Swapped:
    """Make an earlier manifest live again, if its models' files are still what it says.

    Out-of-fold predictions that are not are a warning: trading live needs none.

    Parameters
    ----------
    live : Path
    to : str or None
        As `earlier` takes it.
    reason, public_key, now_utc
        As `promote` takes them.

    Raises
    ------
    DeploymentError
        If there is no such manifest, or it cannot be promoted.
    OSError
        If a file cannot be read or written.
    """
    content, name = earlier(live, to, public_key=public_key)
    if public_key is not None:
        try:
            check_signature(live.parent, content, public_key)
        except SigningError as error:
            raise DeploymentError(f"{name}: {error}") from error
    manifest = parsed_manifest(name, content)
    was = live_sha256(live)
    back = f"Back from {was[:DIGITS_SHOWN]}" if was else "Back, as none was live"
    planned = _planned("rollback", live, content, manifest, reason or back, now_utc)
    signature = _signature(name, live.parent, content)
    warnings = tuple(_refused(prediction_refusals, live.parent, manifest))
    swapped = _swapped(live, content, manifest, planned, signature, None)
    return replace(swapped, warnings=warnings)


def earlier(
    live: Path, wanted: str | None, *, public_key: Path | None = None
) -> tuple[bytes, Path]:
    """Return an earlier manifest's bytes, and its file in the folder ``history``.

    Parameters
    ----------
    live : Path
        The live manifest.
    wanted : str or None
        The first digits, four or more, of its SHA-256, or of the time at which it was written or
        became live, UTC: ``2026-05-01T14:30``. None takes the one before the live one.
    public_key : Path or None
        The live manifest must be signed by its owner where it is asked what was before it.

    Raises
    ------
    DeploymentError
        If it is not known, not kept, or several would fit.
    """
    kept = kept_manifests(live)
    digits = _before(live, public_key) if wanted is None else wanted.strip()
    found = [one for one in kept if wanted is not None and _is_of(one, digits, live)]
    if wanted is None:
        found = [one for one in kept if digits.startswith(one.sha256)]
    if len({one.sha256 for one in found}) != 1:
        finding = "is not kept" if not found else "could be any of several"
        listed = ", ".join(
            f"{one.sha256} ({one.moment})" for one in (found or kept)[-_MOST_LISTED:]
        )
        there_are = f"; there are: {listed}" if listed else "; there is none"
        raise DeploymentError(
            f"{printable(digits):.64}: {finding} in {live.parent / HISTORY}{there_are}"
        )
    one = found[0]
    try:
        content = read_plain(live.parent, f"{HISTORY}/{one.path.name}", most_bytes=MOST_BYTES)
    except NotPlainError as error:
        raise DeploymentError(f"{one.path}: {error}") from error
    if not sha256_of(content).startswith(one.sha256):
        raise DeploymentError(
            f"{one.path}: has SHA-256 {sha256_of(content)[:DIGITS_SHOWN]}..., its name says "
            f"{one.sha256}: it was changed, restore it from a copy"
        )
    return content, one.path


def named(live: Path, name: str | None) -> tuple[dict[str, Any], str]:
    """Return a manifest and what it is called: for comparing, so its files are not looked at.

    Parameters
    ----------
    live : Path
        The live manifest.
    name : str or None
        ``live``, the path of a manifest, or as `earlier` takes it.

    Raises
    ------
    DeploymentError
        If it is none, or cannot be read.
    """
    path = live if name == LIVE else Path(name or "")
    if name == LIVE or path.is_file():
        content = manifest_bytes(path)
    else:
        content, path = earlier(live, name)
    return parsed_manifest(path, content), f"{path} ({sha256_of(content)[:DIGITS_SHOWN]})"


def _before(live: Path, public_key: Path | None) -> str:
    """Return the digest of what was live before the live manifest."""
    known = read_history(live)
    if known.live_sha256 is None:
        raise DeploymentError(f"{live}: no such manifest; say which one to go back to")
    before = known.before(known.live_sha256)
    if before is None:
        manifest = parsed_manifest(live, manifest_bytes(live, public_key=public_key))
        before = manifest.get("previous_manifest_sha256")
    if before is None:
        raise DeploymentError(
            f"{live}: nothing is known to have been live before it; say which one to go back to"
        )
    return before


def _is_of(one: Kept, wanted: str, live: Path) -> bool:
    if _DIGEST.fullmatch(wanted.lower()) and (
        one.sha256.startswith(wanted.lower()) or wanted.lower().startswith(one.sha256)
    ):
        return True
    moment = re.sub("[-:]", "", wanted.upper().replace(" ", "T"))
    if len(moment) < len("20260101"):
        return False
    went_live = [
        f"{change.time_utc:%Y%m%dT%H%M%SZ}"
        for change in read_history(live).deployments
        if change.manifest_sha256.startswith(one.sha256) and change.outcome == LIVE
    ]
    return any(time.startswith(moment) for time in (one.moment, *went_live))


def _planned(
    action: Action,
    live: Path,
    content: bytes,
    manifest: Mapping[str, Any],
    reason: str,
    now_utc: datetime,
) -> Deployment:
    """Return what is about to happen; refuse what must not."""
    digest, was = sha256_of(content), live_sha256(live)
    if digest == was:
        raise DeploymentError(f"{live}: {digest[:DIGITS_SHOWN]} is live already")
    _check_replaceable(live, manifest)
    _check_all(live, live.parent, manifest, predictions=action == "promote")
    run_id = manifest.get("provenance", {}).get("run_id")
    return Deployment(
        time_utc=now_utc,
        action=action,
        manifest_sha256=digest,
        replaced_sha256=was,
        reason=reason,
        run_id=run_id,
    )


def _check_replaceable(live: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse to put models of a simulated market in the place of those of a real one."""
    if not manifest.get("provenance", {}).get("simulated") or not live.exists():
        return
    try:
        there = parsed_manifest(live, manifest_bytes(live))
    except DeploymentError:
        return
    if there.get("provenance", {}).get("simulated") is False:
        raise DeploymentError(
            f"{live}: is of real data, and models of a simulated market would replace it; give "
            "another manifest"
        )


def _check_all(name: Path, folder: Path, manifest: Mapping[str, Any], *, predictions: bool) -> None:
    lines = _refused(refusals, folder, manifest)
    if predictions:
        lines += _refused(prediction_refusals, folder, manifest)
    if lines:
        raise DeploymentError("\n".join(f"{name}: {line}" for line in lines))


def _refused(
    check: Callable[[Path, str, Mapping[str, Any]], list[str]],
    folder: Path,
    manifest: Mapping[str, Any],
) -> list[str]:
    return [
        line
        for symbol, selection in manifest["selections"].items()
        if selection["selected_model"] is not None
        for line in check(folder, symbol, selection)
    ]


def take_openings(source: Path, target: Path, manifest: Mapping[str, Any]) -> None:
    """Write down beside the live manifest how often its holdouts were opened where it was made."""
    try:
        recorded = HoldoutLedger(source / LEDGER).recorded()
        openings = [one for one in recorded if one.symbol in manifest["selections"]]
        if openings:
            HoldoutLedger(target / LEDGER).take_over(openings)
    except ValueError as error:
        raise DeploymentError(str(error)) from error


def _take_judgements(source: Path, live: Path, manifest: Mapping[str, Any]) -> None:
    """Write down beside the live manifest which events have judged challengers elsewhere."""
    there = Challenges(source)
    if not there.path.exists():
        return
    try:
        recorded = [one for one in there.recorded() if one.symbol in manifest["selections"]]
        Challenges(live).take_over(recorded)
    except ValueError as error:
        raise DeploymentError(str(error)) from error


def copy_models(source: Path, target: Path, manifest: Mapping[str, Any]) -> None:
    """Copy the files of all models to where the manifest names them below another folder."""
    for symbol, selection in manifest["selections"].items():
        if selection["selected_model"] is None:
            continue
        root = artifact_root(symbol, selection)
        if root.parts[0] != ARTIFACTS or len(root.parts) < 2:
            raise DeploymentError(
                f"{symbol}: {printable(str(root))} lies outside {ARTIFACTS}/, from where it cannot "
                "be copied"
            )
        place = target / root
        if not place.exists():
            _copy_model(source, place, symbol, selection)
        for line in refusals(target, symbol, selection):
            raise DeploymentError(f"{target}: {line}; remove {root} and promote again")
        copy_predictions(source, target, symbol, selection)


def _copy_model(source: Path, place: Path, symbol: str, selection: Mapping[str, Any]) -> None:
    root = artifact_root(symbol, selection)
    entries = {
        Path(entry["path"]).relative_to(root).as_posix(): entry for entry in selection["artifacts"]
    }
    listed = [
        {"path": name, "sha256": entries[name]["sha256"], "bytes": entries[name]["bytes"]}
        for name in sorted(entries, key=Path)
    ]
    place_files(listed, lambda name: verified_bytes(source, symbol, entries[name]), source, place)


def _signature(name: Path, folder: Path, content: bytes) -> bytes | None:
    try:
        return read_signature(folder, content)
    except SigningError as error:
        raise DeploymentError(f"{name}: {error}") from error


def _swapped(
    live: Path,
    content: bytes,
    manifest: dict[str, Any],
    planned: Deployment,
    signature: bytes | None,
    source: str | None,
) -> Swapped:
    with writing(live):
        if live_sha256(live) != planned.replaced_sha256:
            raise DeploymentError(
                f"{live}: was replaced by another command meanwhile; run it again"
            )
        put_live(live, content, replace(planned, source=source), signature)
    return Swapped(manifest, planned.manifest_sha256, planned.replaced_sha256)
