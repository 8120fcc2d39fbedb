"""The deployment manifest: which model of each symbol is deployed, why, and where its files are."""

import hashlib
import json
import re
import secrets
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from market.reading.safe_names import printable
from selection.atomic import write_bytes_atomically, write_json_atomically
from selection.json_safe import to_json_safe

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

SCHEMA_VERSION = 1
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#+-]{0,63}")
_LOCK_TIMEOUT_S = 30.0


def write_manifest(
    path: Path,
    selections: Mapping[str, Mapping[str, Any]],
    criteria: Mapping[str, float],
    *,
    provenance: Mapping[str, Any] | None,
    now_utc: datetime,
) -> dict[str, Any]:
    """Write a manifest in place of the one at ``path``, which is kept in ``history/`` beside it.

    A reader sees the old file or the new one, whole. Writers wait for each other, so that every
    manifest names the digest of the one it replaced. The old file goes to
    ``history/<its time>-<first 12 digits of its SHA-256>.json``; nothing there is overwritten.

    Parameters
    ----------
    path : Path
        The manifest's file; its folder is made if missing.
    selections : mapping
        By symbol; ``selected_model`` is None where no model may be deployed.
    criteria : mapping
        ``max_train_val_gap``, ``min_test_accuracy`` and ``max_val_test_diff``.
    provenance : mapping or None
        Where the models come from. With a ``run_id``, every selected model must list artifacts.
    now_utc : datetime
        The moment of writing; taken as UTC if it has no time zone.

    Returns
    -------
    dict
        The manifest as written.

    Raises
    ------
    ValueError
        If the manifest breaks its schema; nothing is written then.
    OSError
        If a file cannot be written; the old manifest is still in place then.
    TimeoutError
        If another writer holds the manifest for 30 seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock"), timeout=_LOCK_TIMEOUT_S):
        old = path.read_bytes() if path.exists() else None
        manifest: dict[str, Any] = to_json_safe(
            {
                "schema_version": SCHEMA_VERSION,
                "timestamp": _as_utc(now_utc),
                "previous_manifest_sha256": None if old is None else _sha256(old),
                **({} if provenance is None else {"provenance": provenance}),
                "selection_criteria": criteria,
                "selections": selections,
            }
        )
        manifest["summary"] = _summary(manifest["selections"])
        validate_manifest(manifest)
        if old is not None:
            _keep(path, old)
        write_json_atomically(path, manifest)
    return manifest


def validate_manifest(manifest: Any) -> None:
    """Check a manifest, as read from JSON, against its schema and its own counts.

    Raises
    ------
    ValueError
        One line naming the place in the document: ``selections.EURUSD.artifacts.0.sha256: ...``.
    """
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(manifest))
    if error is not None:
        place = ".".join(str(part) for part in error.absolute_path) or "the document"
        finding = printable(" ".join(error.message.split()))
        finding = finding if len(finding) <= 200 else f"{finding[:120]} ... {finding[-75:]}"
        raise ValueError(f"deployment manifest, {printable(place)}: {finding}")
    for key, counted in _summary(manifest["selections"]).items():
        if manifest["summary"][key] != counted:
            raise ValueError(
                f"deployment manifest, summary.{key}: {manifest['summary'][key]} does not match "
                f"the selections, which give {counted}"
            )


def store_artifacts(
    source_folder: Path, deploy_folder: Path, symbol: str, model: str
) -> list[dict[str, Any]]:
    """Copy the files of a saved model to where a manifest can name them.

    They go to ``artifacts/<symbol>/<model>-<digest>/``, named by content: the same files have the
    same place and are not copied twice. The folder appears whole or not at all.

    Parameters
    ----------
    source_folder : Path
        The saved model; subfolders are taken too.
    deploy_folder : Path
        The manifest's folder.
    symbol, model : str
        Letters, digits and ``._#+-``, beginning with a letter or digit; 64 characters at most.

    Returns
    -------
    list of dict
        By path: ``path`` (POSIX, relative to ``deploy_folder``), ``sha256`` and ``bytes``.

    Raises
    ------
    ValueError
        If a name is unsafe, the source holds no file or a link or changes while it is copied, or
        the place in the deploy folder no longer holds what it was named after.
    OSError
        If a file cannot be read or written.
    """
    for what, name in (("symbol", symbol), ("model", model)):
        if not _SAFE_NAME.fullmatch(name):
            raise ValueError(
                f"{what} {name!r} cannot name a folder; use up to 64 letters, digits and ._#+-, "
                "beginning with a letter or digit"
            )
    listed = _list_files(source_folder)
    if not listed:
        raise ValueError(f"{source_folder} holds no files; save the model there first")
    digest = _sha256(json.dumps(listed).encode())
    place = deploy_folder / "artifacts" / symbol / f"{model}-{digest[:12]}"
    if not place.exists():
        _copy_files(source_folder, listed, place)
    elif _list_files(place) != listed:
        raise ValueError(
            f"{place} does not hold the files of {source_folder} that it is named after; "
            "remove it and store the model again"
        )
    folder = place.relative_to(deploy_folder).as_posix()
    return [{**entry, "path": f"{folder}/{entry['path']}"} for entry in listed]


@cache
def _validator() -> "Validator":
    from jsonschema import Draft202012Validator

    text = files("selection").joinpath("deployment_manifest.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(text))


def _summary(selections: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    selected = sum(one.get("selected_model") is not None for one in selections.values())
    return {
        "total_symbols": len(selections),
        "models_selected": selected,
        "manual_review_needed": len(selections) - selected,
    }


def _keep(path: Path, content: bytes) -> None:
    name = f"{_time_of(path, content):%Y%m%dT%H%M%SZ}-{_sha256(content)[:12]}"
    kept = path.parent / "history" / f"{name}.json"
    if not kept.exists():  # the name holds the digest: what is there is this very content
        write_bytes_atomically(kept, content)


def _time_of(path: Path, content: bytes) -> datetime:
    """Return when a manifest was written: what it says or, if it cannot be read, the file's."""
    try:
        said = datetime.fromisoformat(json.loads(content)["timestamp"])
    except (ValueError, TypeError, KeyError):
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return _as_utc(said)


def _as_utc(moment: datetime) -> datetime:
    naive = moment.utcoffset() is None
    return moment.replace(tzinfo=UTC) if naive else moment.astimezone(UTC)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _list_files(folder: Path) -> list[dict[str, Any]]:
    listed = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"{path} is a link; an artifact must be a plain file")
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            listed.append({"path": name, "sha256": digest, "bytes": path.stat().st_size})
    return listed


def _copy_files(source: Path, listed: list[dict[str, Any]], target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        for entry in listed:
            write_bytes_atomically(temporary / entry["path"], (source / entry["path"]).read_bytes())
        if _list_files(temporary) != listed:
            raise ValueError(f"{source} changed while it was copied; store the model again")
        temporary.rename(target)
    except OSError:
        if not target.exists():  # else another writer has just stored the same files
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
