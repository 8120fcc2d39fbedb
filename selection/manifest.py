"""The deployment manifest: which model of each symbol is deployed, why, and where its files are."""

import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from market.reading.safe_names import printable
from selection.atomic import sync_folder, write_bytes_atomically
from selection.deploy_history import Deployment, live_sha256
from selection.json_safe import to_json_safe
from selection.live_manifest import as_utc, put_live, sha256_of, writing
from selection.signing import SigningKey

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

SCHEMA_VERSION = 1
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#+-]{0,63}")
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_LEFT_OVER_S = 3600.0
# Enough to find the gravest; a document may hold a million.
_MOST_ERRORS = 100


def write_manifest(
    path: Path,
    selections: Mapping[str, Mapping[str, Any]],
    criteria: Mapping[str, float],
    *,
    provenance: Mapping[str, Any] | None,
    now_utc: datetime,
    key: SigningKey | None = None,
) -> dict[str, Any]:
    """Write a manifest in place of the one at ``path``, which is kept in ``history/`` beside it.

    A reader sees the old file or the new one, whole. Writers wait for each other, so that every
    manifest names the digest of the one it replaced. `put_live` says where the old file goes, and
    the deploy history (`selection.deploy_history`) when and why.

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
    key : SigningKey or None
        Signs the manifest before it takes its name.

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
    now_utc = as_utc(now_utc)
    with writing(path):
        previous = live_sha256(path)
        manifest: dict[str, Any] = to_json_safe(
            {
                "schema_version": SCHEMA_VERSION,
                "timestamp": now_utc,
                "previous_manifest_sha256": previous,
                **({} if provenance is None else {"provenance": provenance}),
                "selection_criteria": criteria,
                "selections": selections,
            }
        )
        manifest["summary"] = summary_of(manifest["selections"])
        validate_manifest(manifest)
        content = f"{json.dumps(manifest, indent=2, allow_nan=False)}\n".encode()
        planned = Deployment(
            time_utc=now_utc,
            action="train",
            manifest_sha256=sha256_of(content),
            replaced_sha256=previous,
            reason=_trained(manifest["summary"]),
            run_id=manifest.get("provenance", {}).get("run_id"),
        )
        put_live(path, content, planned, None if key is None else key.signature(content))
    return manifest


def validate_manifest(manifest: Any) -> None:
    """Check a manifest, as read from JSON, against its schema and its own counts.

    Raises
    ------
    ValueError
        One line naming the place in the document: ``selections.EURUSD.artifacts.0.sha256: ...``.
    """
    from jsonschema.exceptions import best_match

    _check_names(manifest)
    error = best_match(islice(_validator().iter_errors(manifest), _MOST_ERRORS))
    if error is not None:
        place = ".".join(str(part) for part in error.absolute_path) or "the document"
        finding = printable(" ".join(error.message.split()))
        finding = finding if len(finding) <= 200 else f"{finding[:120]} ... {finding[-75:]}"
        raise ValueError(f"deployment manifest, {printable(place)}: {finding}")
    for key, counted in summary_of(manifest["selections"]).items():
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
    digest = sha256_of(json.dumps(listed).encode())
    place = deploy_folder / "artifacts" / symbol / f"{model}-{digest[:12]}"
    if not place.exists():
        place_files(listed, lambda name: (source_folder / name).read_bytes(), source_folder, place)
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


def _check_names(manifest: Any) -> None:
    """Refuse names of features that are no texts: comparing others takes quadratic time."""
    selections = manifest.get("selections") if isinstance(manifest, dict) else None
    for symbol, selection in selections.items() if isinstance(selections, dict) else ():
        features = selection.get("features") if isinstance(selection, dict) else None
        names = features.get("names") if isinstance(features, dict) else None
        if isinstance(names, list) and not all(type(name) is str for name in names):
            raise ValueError(
                f"deployment manifest, selections.{printable(symbol)}.features.names: "
                "expected texts"
            )


def _trained(summary: Mapping[str, int]) -> str:
    selected, total = summary["models_selected"], summary["total_symbols"]
    return f"Trained: a model for {selected} of {total} symbols"


def summary_of(selections: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Return how many symbols a manifest has, and of how many a model is deployed."""
    selected = sum(one.get("selected_model") is not None for one in selections.values())
    return {
        "total_symbols": len(selections),
        "models_selected": selected,
        "manual_review_needed": len(selections) - selected,
    }


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


def place_files(
    listed: list[dict[str, Any]], read: Callable[[str], bytes], source: Path, target: Path
) -> None:
    """Write a folder of files, whole or not at all.

    Parameters
    ----------
    listed : list of dict
        ``path``, ``sha256`` and ``bytes`` of each, ordered by path.
    read : callable
        Returns the content of a path.
    source : Path
        Where it comes from, for messages.
    target : Path
        The folder; must not exist, unless another writer has just made the same.

    Raises
    ------
    ValueError
        If the files are not as listed.
    OSError
        If a file cannot be read or written.
    """
    _remove_left_over(target.parent)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        made = _missing_folders(temporary)
        for entry in listed:
            write_bytes_atomically(temporary / entry["path"], read(entry["path"]))
        if _list_files(temporary) != listed:
            raise ValueError(f"{source} changed while it was copied; store the model again")
        # Its names before its own, so that a power cut leaves all of it or none.
        for folder in (temporary, *(one for one in temporary.rglob("*") if one.is_dir())):
            sync_folder(folder)
        temporary.rename(target)
        for folder in (target.parent, *(one.parent for one in made if one != temporary)):
            sync_folder(folder)
    except OSError:
        if not target.exists():  # else another writer has just stored the same files
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _missing_folders(folder: Path) -> list[Path]:
    """Return the folder and those above it that are still to be made."""
    return [one for one in (folder, *folder.parents) if not one.exists()]


def _remove_left_over(folder: Path) -> None:
    """Remove what writers left unfinished that were killed; none takes nearly so long."""
    begun_before = time.time() - _LEFT_OVER_S
    for path in folder.glob(".*.tmp"):
        try:
            old = path.lstat().st_mtime < begun_before
        except OSError:  # its writer has just finished
            continue
        if old and _TEMPORARY.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
