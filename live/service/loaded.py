"""What answers: a manifest, or an exit model, opened and tried out before anybody is answered.

Axes: N rows, F features, T bars.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import numpy as np

from exits.exit_model import N_FEATURES, ExitModel, load_exit_model
from exits.exit_model_file import DESCRIPTION as EXIT_DESCRIPTION
from exits.exit_model_file import MOST_DESCRIPTION_BYTES
from live.service.questions import frame_name
from market.bars import Bars
from market.definitions import Definition
from models.base import ModelError
from models.council import Council
from models.onnx_members import OnnxMembers
from selection.deployed import DeployedModels
from selection.deployed_files import (
    DESCRIPTION,
    DeploymentError,
    artifact_root,
    manifest_bytes,
    verified_bytes,
)
from selection.live_manifest import sha256_of
from selection.plain_files import read_plain
from selection.strict_json import strict_json

# The feature that tells an event's direction: 1 long, -1 short.
DIRECTION: Final = "TBM_Entry"
_WARM_BARS: Final = 200
_HOUR: Final = np.timedelta64(3_600_000_000, "us")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that was a candidate for a symbol, and why it cannot be asked."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """One symbol of a manifest, ready to answer.

    Attributes
    ----------
    name : str
    model : str or None
        None where none is deployed.
    version : str or None
        In the registry, where the manifest says it.
    reason : str
        The manifest's, of the choice.
    threshold : float or None
    names_F : tuple of str
    direction_f : int or None
        Column of the event's direction; None where no feature tells it.
    lookback_rows : int
    calibrated : str or None
        Whose live outcomes the probability was calibrated with: ``model`` or ``pooled``.
    members : OnnxMembers or None
        Of a council.
    others : tuple of Candidate
        That are not deployed.
    definition : Definition or None
        How events and features are made from bars.
    no_bars : str
        Why there is none.
    """

    name: str
    model: str | None
    reason: str
    version: str | None = None
    threshold: float | None = None
    names_F: tuple[str, ...] = ()
    direction_f: int | None = None
    lookback_rows: int = 0
    calibrated: str | None = None
    members: OnnxMembers | None = None
    others: tuple[Candidate, ...] = ()
    definition: Definition | None = None
    no_bars: str = ""

    def bars_read(self) -> str | None:
        """Return the time frame that the model reads, where one is known."""
        if self.definition is None or self.definition.bar_length is None:
            return None
        return frame_name(self.definition.bar_length / np.timedelta64(1, "s"))


@dataclass(frozen=True, slots=True)
class LoadedManifest:
    """A manifest whose every model is open.

    Attributes
    ----------
    digest : str
        SHA-256 of the manifest.
    deployed : DeployedModels
    symbols : mapping of str to Symbol
    """

    digest: str
    deployed: DeployedModels
    symbols: Mapping[str, Symbol]


@dataclass(frozen=True, slots=True)
class LoadedExits:
    """An exit model that has answered once.

    Attributes
    ----------
    digest : str
        SHA-256 of its description.
    model : ExitModel
    """

    digest: str
    model: ExitModel


def manifest_digest(path: Path) -> str:
    """Return the SHA-256 of what lies there now; raises DeploymentError."""
    return sha256_of(manifest_bytes(path))


def load_manifest(path: Path, *, public_key: Path | None = None) -> LoadedManifest:
    """Verify a manifest, open every model and ask each once.

    Raises
    ------
    DeploymentError
        If any of it cannot be used: a manifest is served whole or not at all.
    """
    deployed = DeployedModels.from_manifest(path, public_key=public_key)
    warmed: set[str] = set()
    try:
        symbols = {
            name: _symbol(deployed, name, warmed) for name in deployed.manifest["selections"]
        }
    except ModelError as error:
        raise DeploymentError(f"{path}: {error}") from error
    return LoadedManifest(deployed.sha256, deployed, symbols)


def exits_digest(folder: Path) -> str:
    """Return the SHA-256 of the description that lies there now; raises ValueError or OSError."""
    return sha256_of(read_plain(folder, EXIT_DESCRIPTION, most_bytes=MOST_DESCRIPTION_BYTES))


def load_exits(folder: Path) -> LoadedExits:
    """Load an exit model and ask it once; raises ExitModelError, or OSError."""
    digest = exits_digest(folder)
    model = load_exit_model(folder)
    model.decide(np.zeros((1, N_FEATURES)), np.ones(1))
    return LoadedExits(digest, model)


def _symbol(deployed: DeployedModels, name: str, warmed: set[str]) -> Symbol:
    selection = deployed.selection(name)
    if selection["selected_model"] is None:
        # What its rows would hold, had it a model.
        names_F = tuple((selection.get("features") or {}).get("names", ()))
        return Symbol(
            name=name,
            model=None,
            reason=selection["reason"],
            names_F=names_F,
            direction_f=_direction_f(names_F),
            others=_others(selection),
        )
    lookback = deployed.lookback_rows(name)
    names_F = deployed.feature_names(name)
    definition, no_bars = _definition(deployed, name)
    calibration = deployed.live_calibration(name)
    version = selection.get("model_version")
    made = Symbol(
        name=name,
        model=selection["selected_model"],
        version=None if version is None else str(version),
        reason=selection["reason"],
        threshold=deployed.threshold(name),
        names_F=names_F,
        direction_f=_direction_f(names_F),
        lookback_rows=lookback,
        calibrated=None if calibration is None else calibration.scope,
        members=_members(deployed, name, selection),
        others=_others(selection),
        definition=definition,
        no_bars=no_bars,
    )
    _warm(deployed, made, warmed)
    return made


def _direction_f(names_F: tuple[str, ...]) -> int | None:
    return names_F.index(DIRECTION) if DIRECTION in names_F else None


def _others(selection: Mapping[str, Any]) -> tuple[Candidate, ...]:
    """Return the candidates whose files were not deployed: they can be named, not asked."""
    refused = selection.get("refused") or {}
    chosen = selection["selected_model"]
    names = [one["model"] for one in selection.get("alternatives", ()) if one["model"] != chosen]
    return tuple(
        Candidate(one, f"not deployed: {refused[one]}" if one in refused else "not deployed")
        for one in dict.fromkeys([*names, *refused])
        if one != chosen
    )


def _definition(deployed: DeployedModels, name: str) -> tuple[Definition | None, str]:
    try:
        return deployed.definition(name), ""
    except DeploymentError as error:
        return None, str(error)


def _members(
    deployed: DeployedModels, name: str, selection: Mapping[str, Any]
) -> OnnxMembers | None:
    """Return a council's members where its file as ONNX holds them."""
    if selection["selected_model"] != Council.name or not selection.get("onnx"):
        return None
    entries = {entry["path"]: entry for entry in selection["artifacts"]}
    described = entries[f"{artifact_root(name, selection)}/{DESCRIPTION}"]
    description = strict_json(verified_bytes(deployed.folder, name, described))
    try:
        names = tuple(Council(**description["hyperparameters"]).members)
    except (KeyError, TypeError, ValueError) as error:
        raise DeploymentError(f"{name}: {described['path']}: {error}") from error
    content = verified_bytes(deployed.folder, name, entries[selection["onnx"]["path"]])
    return OnnxMembers(content, names)


def _warm(deployed: DeployedModels, symbol: Symbol, warmed: set[str]) -> None:
    """Ask a model once, and once for each definition what is compiled or read when first used."""
    row_1F = np.zeros((1, len(symbol.names_F)))
    context_NF = np.zeros((symbol.lookback_rows, len(symbol.names_F)))
    deployed.predict_proba(symbol.name, row_1F, context_NF)
    if symbol.members is not None:
        symbol.members.predict(row_1F)
    definition = deployed.selection(symbol.name).get("features", {}).get("definition")
    if symbol.definition is not None and repr(definition) not in warmed:
        warmed.add(repr(definition))
        some = _some_bars(symbol.name, symbol.definition)
        # Of long bars as many as it takes end in years to come.
        ended = some.close_time_T[-1].item().replace(tzinfo=UTC)
        deployed.predict_bars(symbol.name, some, now=ended)


def _some_bars(name: str, definition: Definition) -> Bars:
    """Return bars of no market, as many as the features of a few events take."""
    n_bars = definition.features.history_bars + _WARM_BARS
    length = definition.bar_length or _HOUR
    rng = np.random.default_rng(0)
    close_T = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.001, n_bars)))
    open_T = np.concatenate([[100.0], close_T[:-1]])
    return Bars(
        name,
        np.datetime64("2000-01-03T00:00:00", "us") + np.arange(n_bars) * length,
        open_T,
        np.maximum(open_T, close_T) * 1.0005,
        np.minimum(open_T, close_T) * 0.9995,
        close_T,
        np.ones(n_bars),
        length,
    )
