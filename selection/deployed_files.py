"""The files that a manifest names: found, checked against it, and only then opened."""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from market.reading.safe_names import printable
from selection.manifest import validate_manifest
from selection.plain_files import (
    NotPlainError,
    NotThereError,
    open_plain,
    read_all,
    read_plain,
    size_of,
)
from selection.signing import SigningError, check_signature
from selection.strict_json import MOST_BYTES, strict_json

if TYPE_CHECKING:
    from models.base import Model
    from models.onnx_model import OnnxModel

DESCRIPTION = "model.json"
DIGITS_SHOWN = 12
# Of all files of one symbol: a hundred times what the largest model here takes.
MOST_MODEL_BYTES = 2**30
MOST_DESCRIPTION_BYTES = 16 * 2**20


class DeploymentError(ValueError):
    """A manifest, file or request that cannot be served; one line for each thing refused."""


def manifest_bytes(path: Path, *, public_key: Path | None = None) -> bytes:
    """Return the bytes of a manifest, of which nothing has been parsed.

    Parameters
    ----------
    path : Path
        Its folder may be reached by a link, the file itself may be none.
    public_key : Path or None
        The bytes must be signed by its owner; None takes unsigned ones too.

    Raises
    ------
    DeploymentError
        If it cannot be read, is too large, or is not signed by the key's owner.
    """
    if not path.name or path.is_dir():
        raise DeploymentError(f"{path}: is a folder; give the path of a manifest")
    try:
        content = read_plain(path.parent, path.name, most_bytes=MOST_BYTES)
    except NotThereError as error:
        raise DeploymentError(
            f"{path}: no such manifest; train first, or give the path of one"
        ) from error
    except NotPlainError as error:
        raise DeploymentError(f"{path}: {error}") from error
    if public_key is not None:
        try:
            check_signature(path.parent, content, public_key)
        except SigningError as error:
            raise DeploymentError(f"{path}: {error}") from error
    return content


def parsed_manifest(path: Path, content: bytes) -> dict[str, Any]:
    """Return a manifest from its bytes, checked against its schema.

    Raises
    ------
    DeploymentError
        If it is not JSON, holds a number that is not finite, a key twice or more than anyone
        deploys, or breaks the schema. ``path`` begins the message.
    """
    try:
        manifest = strict_json(content)
        validate_manifest(manifest)
    except ValueError as error:
        raise DeploymentError(f"{path}: {error}") from error
    return dict(manifest)


def refusals(folder: Path, symbol: str, selection: Mapping[str, Any]) -> list[str]:
    """Return a line for each file of a selection that is not what the manifest says.

    Every file is read once and forgotten; none is opened as a model.
    """
    try:
        artifact_root(symbol, selection)
        _check_sizes(symbol, selection)
        _onnx_entry(symbol, selection)
    except DeploymentError as error:
        return [str(error)]
    refused = []
    for entry in selection["artifacts"]:
        try:
            verified_bytes(folder, symbol, entry)
        except DeploymentError as error:
            refused.append(str(error))
    return refused


def open_model(folder: Path, symbol: str, selection: Mapping[str, Any]) -> "Model | OnnxModel":
    """Load a selection's model from exactly the bytes that were checked.

    From its ONNX form, where the manifest names one, else as it was saved. The bytes of the files
    that it needs are read once and checked: what changes in the deploy folder meanwhile, or lies
    there beside them, is never opened.

    Raises
    ------
    DeploymentError
        If a file or the model in it is not what the manifest says, or this version cannot open it.
    """
    root = artifact_root(symbol, selection)
    entry = _onnx_entry(symbol, selection)
    model: Model | OnnxModel
    if entry is None:
        model = _open_saved(folder, symbol, selection, root)
    else:
        model = _open_onnx(symbol, entry["path"], verified_bytes(folder, symbol, entry))
    if model.name != selection["selected_model"]:
        raise DeploymentError(
            f"{symbol}: {root} holds a {model.name}, the manifest says "
            f"{selection['selected_model']}"
        )
    _check_features(symbol, selection, model)
    return model


def _open_onnx(symbol: str, path: str, content: bytes) -> "OnnxModel":
    from models.base import ModelError
    from models.onnx_model import OnnxModel

    try:
        return OnnxModel(content)
    except ModelError as error:
        raise DeploymentError(f"{symbol}: {path} cannot be opened: {error}") from error


def _open_saved(
    folder: Path, symbol: str, selection: Mapping[str, Any], root: PurePosixPath
) -> "Model":
    from safetensors import SafetensorError

    from models.store import load_model

    contents = {
        PurePosixPath(entry["path"]).relative_to(root): verified_bytes(folder, symbol, entry)
        for entry in selection["artifacts"]
    }
    for place, content in contents.items():
        if place.name == DESCRIPTION:
            _check_description(symbol, root / place, content)
    # The loader is given a folder of our own.
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        for place, content in contents.items():
            target = Path(scratch, place)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        try:
            return load_model(Path(scratch))
        except (
            RuntimeError,
            ValueError,
            TypeError,
            LookupError,
            OSError,
            SafetensorError,
        ) as error:
            finding = str(error).replace(scratch, str(root)).partition("\n")[0]
            raise DeploymentError(
                f"{symbol}: {root} cannot be opened by this version: {finding}"
            ) from error


def _check_description(symbol: str, path: PurePosixPath, content: bytes) -> None:
    try:
        strict_json(content, most_bytes=MOST_DESCRIPTION_BYTES)
    except ValueError as error:
        raise DeploymentError(f"{symbol}: {path} {error}") from error


def artifact_root(symbol: str, selection: Mapping[str, Any]) -> PurePosixPath:
    """Return the folder of the model's description, below which all its files must lie.

    A model of several members has theirs in folders of their own below it.

    Raises
    ------
    DeploymentError
        If there is no such folder.
    """
    model = selection["selected_model"]
    paths = [PurePosixPath(entry["path"]) for entry in selection.get("artifacts", ())]
    roots = [path.parent for path in paths if path.name == DESCRIPTION]
    root = min(roots, key=lambda folder: len(folder.parts), default=None)
    if root is None:
        raise DeploymentError(f"{symbol}: the manifest names no {DESCRIPTION} of {model}")
    astray = next((path for path in paths if not path.is_relative_to(root)), None)
    if astray is not None:
        raise DeploymentError(f"{symbol}: {astray} lies outside {root}, where {model} is")
    return root


def _onnx_entry(symbol: str, selection: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the file that holds the model as ONNX, where the manifest names one."""
    onnx = selection.get("onnx")
    if onnx is None:
        return None
    for entry in selection["artifacts"]:
        if entry["path"] == onnx["path"]:
            return dict(entry)
    raise DeploymentError(
        f"{symbol}: the manifest names {onnx['path']} as ONNX, but not among the artifacts"
    )


def _check_sizes(symbol: str, selection: Mapping[str, Any]) -> None:
    """Refuse what no model is, before anything of it is read."""
    entries = selection["artifacts"]
    total = sum(entry["bytes"] for entry in entries)
    if total > MOST_MODEL_BYTES:
        raise DeploymentError(
            f"{symbol}: its files have {total} bytes together, the most that are loaded are "
            f"{MOST_MODEL_BYTES}"
        )
    once: set[str] = set()
    for entry in entries:
        if entry["path"] in once:
            raise DeploymentError(f"{symbol}: the manifest names {printable(entry['path'])} twice")
        once.add(entry["path"])


def verified_bytes(folder: Path, symbol: str, entry: Mapping[str, Any]) -> bytes:
    """Return the content of an artifact that is what the manifest says of it.

    Raises
    ------
    DeploymentError
        If it is not, or is no plain file reached through no link.
    """
    name, n_bytes = printable(entry["path"]), entry["bytes"]
    try:
        with open_plain(folder, entry["path"]) as file:
            found = size_of(file)
            content = read_all(file, n_bytes) if found == n_bytes else b""
    except NotThereError as error:
        raise DeploymentError(f"{symbol}: {name} is missing; fetch it again") from error
    except NotPlainError as error:
        raise DeploymentError(f"{symbol}: {name} {error}") from error
    if found != n_bytes:
        raise DeploymentError(
            f"{symbol}: {name} has {found} bytes, the manifest says {n_bytes}; fetch it again"
        )
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry["sha256"]:
        raise DeploymentError(
            f"{symbol}: {name} has SHA-256 {digest[:DIGITS_SHOWN]}..., the manifest says "
            f"{entry['sha256'][:DIGITS_SHOWN]}...; fetch it again"
        )
    return content


def _check_features(symbol: str, selection: Mapping[str, Any], model: "Model | OnnxModel") -> None:
    named = tuple(selection.get("features", {}).get("names", model.names_F))
    if named == model.names_F:
        return
    pairs = zip(named, model.names_F, strict=False)
    at = next((i for i, (one, other) in enumerate(pairs) if one != other), None)
    finding = (
        f"{len(named)}, the model has {len(model.names_F)}"
        if at is None
        else f"{named[at]} at place {at}, the model has {model.names_F[at]}"
    )
    raise DeploymentError(f"{symbol}: features: the manifest lists {finding}")
