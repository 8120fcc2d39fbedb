"""A chosen model's out-of-fold predictions beside the manifest that names them.

What a model says of rows it was fitted on tells nothing. Whoever trades it on past bars needs what
fits that had not seen them said, and needs to know from when on its own answers count.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selection.atomic import sync_folder, write_bytes_atomically
from selection.deployed_files import DeploymentError, verified_bytes
from selection.live_manifest import sha256_of
from selection.plain_files import NotPlainError, read_plain

PREDICTIONS = "predictions"
# A hundred times what the longest history here takes.
MOST_BYTES = 2**28
_DIGITS = 12
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#+-]{0,63}")


def store_predictions(
    source: Path, deploy_folder: Path, symbol: str, model: str, stated: Mapping[str, Any]
) -> dict[str, Any]:
    """Copy a file of predictions to where a manifest can name it; return its entry.

    It goes to ``predictions/<symbol>/<model>-<digest>.parquet``, named by content: the same file
    has the same place and is not written twice.

    Parameters
    ----------
    source : Path
        As `training.predictions.write_predictions` wrote it.
    deploy_folder : Path
        The manifest's folder.
    symbol, model : str
        As `selection.manifest.store_artifacts` takes them.
    stated : mapping
        What was said of the file when it was written; all but its name is repeated.

    Raises
    ------
    ValueError
        If a name is unsafe, or the file is not what was said of it.
    OSError
        If the copy cannot be written.
    """
    for what, name in (("symbol", symbol), ("model", model)):
        if not _SAFE_NAME.fullmatch(name):
            raise ValueError(f"{what} {name!r} cannot name a file")
    try:
        content = read_plain(source.parent, source.name, most_bytes=MOST_BYTES)
    except NotPlainError as error:
        raise ValueError(f"{source} {error}; train again") from error
    digest = sha256_of(content)
    if digest != stated["sha256"]:
        raise ValueError(f"{source} has changed since it was written; train again")
    path = f"{PREDICTIONS}/{symbol}/{model}-{digest[:_DIGITS]}.parquet"
    _write(deploy_folder / path, content)
    facts = {name: value for name, value in stated.items() if name != "file"}
    return {"path": path, **facts}


def verified_predictions(folder: Path, symbol: str, selection: Mapping[str, Any]) -> bytes:
    """Return the bytes of the predictions that a selection names, exactly those that were checked.

    Raises
    ------
    DeploymentError
        If it names none, as a manifest of an earlier version does, or the file is not what the
        manifest says, or is no plain file reached through no link.
    """
    entry = selection.get(PREDICTIONS)
    if entry is None:
        raise DeploymentError(
            f"{symbol}: the manifest names no out-of-fold predictions of "
            f"{selection['selected_model']}; train again"
        )
    if entry["bytes"] > MOST_BYTES:
        raise DeploymentError(
            f"{symbol}: {entry['path']} has {entry['bytes']} bytes, the most that are read are "
            f"{MOST_BYTES}"
        )
    return verified_bytes(folder, symbol, entry)


def copy_predictions(source: Path, target: Path, symbol: str, selection: Mapping[str, Any]) -> None:
    """Copy the predictions that a selection names, if it does, below another manifest's folder.

    Raises
    ------
    DeploymentError
        If they are not what the manifest says, or other bytes lie where they belong.
    OSError
        If they cannot be written.
    """
    if selection.get(PREDICTIONS) is None:
        return
    path = selection[PREDICTIONS]["path"]
    if not path.startswith(f"{PREDICTIONS}/"):
        raise DeploymentError(
            f"{symbol}: {path} lies outside {PREDICTIONS}/, from where it cannot be copied"
        )
    content = verified_predictions(source, symbol, selection)
    if not (target / path).exists():
        _write(target / path, content)
    try:
        verified_predictions(target, symbol, selection)
    except DeploymentError as error:
        raise DeploymentError(f"{target}: {error}; remove it and promote again") from error


def prediction_refusals(folder: Path, symbol: str, selection: Mapping[str, Any]) -> list[str]:
    """Return a line where the predictions that a selection names are not what it says.

    Nothing where it names none: trading live needs none.
    """
    if selection.get(PREDICTIONS) is None:
        return []
    try:
        verified_predictions(folder, symbol, selection)
    except DeploymentError as error:
        return [str(error)]
    return []


def _write(place: Path, content: bytes) -> None:
    """Write a file that is named after its content; one that holds it already is left."""
    if place.is_file() and not place.is_symlink() and place.read_bytes() == content:
        return
    write_bytes_atomically(place, content)
    for folder in (place.parent, place.parent.parent):
        sync_folder(folder)
