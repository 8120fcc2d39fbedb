"""What `exit_model.json` says of an exit model, checked before anything else is opened.

It may have been written elsewhere: it is read strictly, as data, and nothing in it is run.

Axes: P the 132 parameters.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from exits.exit_net import N_LAYERS, WIDTHS, Layer, check_shapes
from exits.feature_table import SCHEMA_DIGEST
from exits.parameters import INDEX, NAMES, ParameterError, official_name
from market.reading.safe_names import clipped, printable
from selection.plain_files import NotThereError, open_plain, read_all, read_plain, size_of
from selection.strict_json import strict_json

DESCRIPTION = "exit_model.json"
VERSION = 1
# The net takes 876 kB, what is told of it some 60.
MOST_DESCRIPTION_BYTES = 4 * 2**20
MOST_NET_BYTES = 4 * 2**20
AGAIN = "train again with python -m pipelines.train_exits"
_DIGITS_SHOWN, _LONGEST_SHOWN = 12, 60
_STRICT = {"strict": True, "extra": "forbid"}


@dataclass(frozen=True, slots=True)
class NetFile:
    """The file of the weights: its name in the same folder, and what it must hold."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ParameterEntry:
    """How one parameter is decided.

    Attributes
    ----------
    identified : bool
        Whether the net decides it; else it is always ``base``.
    base : float or None
        In real units; None of `current_atr`, for which the measured ATR stands in.
    why : str
        What in the data spoke for it or against it.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    identified: bool
    base: float | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """All of `exit_model.json`.

    Attributes
    ----------
    version : int
        Of this form.
    schema_digest : str
        Of the 208 features.
    shape : list of int
        Widths of the net's layers, features first, parameters last.
    hindsight : bool
        Whether it was shown what is known at the close of a trade only.
    trained_until : datetime
        With its zone: the last exit of any trade that it has learnt from.
    atr_ratio : pair of floats
        What 0 and 1 mean for `current_atr`, as multiples of the measured ATR.
    bounds : dict
        Of the features, as `FeatureBounds` writes them.
    parameters : dict of str to ParameterEntry
    net : NetFile
    digest : str
        Of all that comes before it, by `digest_of`.
    facts : dict
        Of the training: epoch, loss, ...
    libraries : dict of str to str
        Versions it was trained with.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    version: int
    schema_digest: str
    shape: list[int]
    hindsight: bool
    trained_until: datetime
    atr_ratio: tuple[float, float]
    bounds: dict[str, Any]
    parameters: dict[str, ParameterEntry]
    net: NetFile
    digest: str
    facts: dict[str, Any]
    libraries: dict[str, str]

    def __post_init__(self) -> None:
        if self.trained_until.utcoffset() is None:
            raise ValueError(f"trained_until must have its zone, was {self.trained_until}")


_NOT_IN_DIGEST = ("digest", "facts", "libraries")


def digest_of(document: dict[str, Any]) -> str:
    """Return a digest of what decides a model's answers, and what it must not be used for."""
    deciding = {key: value for key, value in document.items() if key not in _NOT_IN_DIGEST}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def read_description(folder: Path) -> Description:
    """Return what a folder says of its exit model.

    Raises
    ------
    ValueError
        The rest of a sentence that begins with the file: it is missing or no plain file, is not
        JSON, is of a newer version, of other features or another shape; a key is missing, unknown
        or not as it must be.
    """
    try:
        content = read_plain(folder, DESCRIPTION, most_bytes=MOST_DESCRIPTION_BYTES)
    except NotThereError as error:
        raise ValueError(f"is missing; {AGAIN}, or give another folder") from error
    document = strict_json(content)
    if not isinstance(document, dict):
        raise ValueError("holds no object, expected the description of an exit model")  # noqa: TRY004
    _check_version(document)
    _check_keys(document)
    _check_net(document)
    description = _typed(document)
    _check_parameters(description)
    if (found := digest_of(document)) != description.digest:
        raise ValueError(
            f"has the digest {_short(found)}, and says {_short(description.digest)}: it was "
            f"changed after it was saved; fetch it again, or {AGAIN}"
        )
    return description


def _check_version(document: dict[str, Any]) -> None:
    version = document.get("version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(f"version must be {VERSION}, was {_shown(version)}")
    if version > VERSION:
        raise ValueError(
            f"is of version {version}, newer than the {VERSION} that is read here; update, or "
            f"{AGAIN}"
        )


def _check_keys(document: dict[str, Any]) -> None:
    expected = {field.name for field in fields(Description)}
    for key in sorted(expected - set(document)):
        raise ValueError(f"{key} is missing; {AGAIN}")
    for key in sorted(set(document) - expected):
        raise ValueError(f"{clipped(key)}: unknown key")


def _check_net(document: dict[str, Any]) -> None:
    """Refuse what this version's features cannot be put into, and what it cannot take out."""
    digest, shape = document["schema_digest"], document["shape"]
    if digest != SCHEMA_DIGEST:
        raise ValueError(
            f"was trained on features with the digest {_short(digest)}, those of this version "
            f"have {_short(SCHEMA_DIGEST)}; {AGAIN}"
        )
    if shape != list(WIDTHS):
        raise ValueError(f"shape is {_shown(shape)}, the net here has {list(WIDTHS)}; {AGAIN}")


def _check_parameters(description: Description) -> None:
    for name in description.parameters:
        try:
            known = official_name(name) in INDEX and name in INDEX
        except ParameterError as error:
            raise ValueError(f"parameters.{clipped(str(error))}") from None
        if not known:
            raise ValueError(f"parameters.{name}: is now called {official_name(name)}")
    missing = [name for name in NAMES if name not in description.parameters]
    if missing:
        raise ValueError(f"parameters.{missing[0]} is missing; {AGAIN}")


def _typed(document: dict[str, Any]) -> Description:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Description).validate_json(json.dumps(document))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(clipped(str(key)) for key in first["loc"])
        said = printable(first["msg"])
        raise ValueError(
            f"{where}: {said[:1].lower()}{said[1:]}, was {_shown(first['input'])}"
        ) from None


def read_weights(folder: Path, net: NetFile) -> list[Layer]:
    """Return the weights and biases of each layer from exactly the bytes that were checked.

    Raises
    ------
    ValueError
        The rest of a sentence that begins with the folder's description: the file is missing, is no
        plain file, has another size, digest or form, or its arrays another shape.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = _verified(folder, net)
    try:
        arrays = load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        said = printable(str(error)).strip()
        raise ValueError(f"{clipped(net.name)} is not safetensors: {said}; {AGAIN}") from error
    names = tensor_names()
    for name in sorted(set(names) ^ set(arrays)):
        what = "lacks" if name in names else "holds the unknown"
        raise ValueError(f"{clipped(net.name)} {what} array {clipped(name)}; {AGAIN}")
    kinds = sorted({str(array.dtype) for array in arrays.values()})
    if kinds != ["float32"]:
        raise ValueError(f"{clipped(net.name)} holds {', '.join(kinds)}, expected float32; {AGAIN}")
    try:
        check_shapes([arrays[name].shape for name in names])
    except ValueError as error:
        raise ValueError(f"{clipped(net.name)}: {error}; {AGAIN}") from error
    return [(arrays[names[n]], arrays[names[n + 1]]) for n in range(0, 2 * N_LAYERS, 2)]


def tensor_names() -> list[str]:
    """Return what the file of the weights calls them: weights and biases of layer after layer."""
    return [f"{n}.{kind}" for n in range(N_LAYERS) for kind in ("weight", "bias")]


def _verified(folder: Path, net: NetFile) -> bytes:
    name, again = clipped(net.name), f"fetch it again, or {AGAIN}"
    if not 0 < net.bytes <= MOST_NET_BYTES:
        raise ValueError(f"net.bytes must be in [1, {MOST_NET_BYTES}], was {net.bytes}; {AGAIN}")
    try:
        with open_plain(folder, net.name) as file:
            found = size_of(file)
            content = read_all(file, net.bytes) if found == net.bytes else b""
    except ValueError as error:
        raise ValueError(f"{name} {error}; {again}") from error
    if found != net.bytes:
        raise ValueError(f"{name} has {found} bytes, expected {net.bytes}; {again}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != net.sha256:
        raise ValueError(
            f"{name} has SHA-256 {_short(digest)}, expected {_short(net.sha256)}; {again}"
        )
    return content


def _short(digest: object) -> str:
    return printable(str(digest))[:_DIGITS_SHOWN] + "..."


def _shown(value: object) -> str:
    text = printable(value if isinstance(value, str) else repr(value))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
