"""An exit model: from 208 raw features to 132 parameters in real units, and its files.

Axes: K decisions, F features, P the 132 parameters.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from exits.exit_model_file import (
    AGAIN,
    DESCRIPTION,
    VERSION,
    Description,
    digest_of,
    read_description,
    read_weights,
    tensor_names,
)
from exits.exit_net import WIDTHS, ExitNet, Float32Array
from exits.feature_bounds import FeatureBounds, unit_rows
from exits.feature_table import SCHEMA_DIGEST
from exits.parameters import ATR, INDEX, NAMES, PARAMETERS
from market.bars import FloatArray
from market.compiled import BoolArray, vectorised
from market.reading.safe_names import printable
from selection.atomic import write_bytes_atomically, write_json_atomically
from selection.json_safe import to_json_safe

N_FEATURES, N_PARAMETERS = WIDTHS[0], WIDTHS[-1]
ATR_P = INDEX[ATR]
LIBRARIES = ("numpy", "numba", "safetensors", "torch")

_LOW_P = np.array([parameter.low for parameter in PARAMETERS])
_HIGH_P = np.array([parameter.high for parameter in PARAMETERS])
_WHOLE_P = np.array([parameter.kind == "integer" for parameter in PARAMETERS])


class ExitModelError(ValueError):
    """An exit model that cannot be used; one line naming the file or value, and what to do."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ExitModel:
    """What was learnt of exits, ready to decide.

    Attributes
    ----------
    net : ExitNet
    bounds : FeatureBounds
        What 0 and 1 mean for each feature.
    identified_P : bool array, shape (132,)
        Parameters that the net decides.
    base_P : float64 array, shape (132,)
        What the others are, in real units; of `current_atr` not read: the measured ATR stands in.
    atr_ratio : pair of floats
        What 0 and 1 mean for `current_atr`, as multiples of the measured ATR.
    hindsight : bool
        Whether it was shown what is known at the close of a trade only. Such a model cannot trade.
    trained_until : datetime64[us]
        UTC: the last exit of any trade that it has learnt from.
    facts : mapping
        Of the training: epoch, loss, ...; as JSON keeps them.
    why : mapping of str to str
        By parameter, what in the data spoke for the net or against it.

    Raises
    ------
    ExitModelError
        If an array has another shape, a base lies outside its range, the ratio is no range of
        positive numbers, or the time is none.
    """

    net: ExitNet
    bounds: FeatureBounds
    identified_P: BoolArray
    base_P: FloatArray
    atr_ratio: tuple[float, float]
    hindsight: bool
    trained_until: np.datetime64
    facts: Mapping[str, Any] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("identified_P", "base_P"):
            if (shape := np.shape(getattr(self, name))) != (N_PARAMETERS,):
                raise ExitModelError(f"{name} must have shape ({N_PARAMETERS},), had {shape}")
        low, high = self.atr_ratio
        if not 0 < low < high < np.inf:
            raise ExitModelError(f"atr_ratio must be 0 < low < high, was {self.atr_ratio}")
        if np.isnat(self.trained_until):
            raise ExitModelError("trained_until must be a time, was none")
        inside_P = (self.base_P >= _LOW_P) & (self.base_P <= _HIGH_P)
        for p in np.flatnonzero(~inside_P):
            if p != ATR_P:
                span = f"[{_LOW_P[p]:g}, {_HIGH_P[p]:g}]"
                raise ExitModelError(f"base of {NAMES[p]} must be in {span}, was {self.base_P[p]}")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what decides its answers and what it must not be used for."""
        digest: str = _described(self)[0]["digest"]
        return digest

    @cached_property
    def _scaling(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return self.bounds.scaling()

    @cached_property
    def _net_decides_P(self) -> BoolArray:
        return np.ascontiguousarray(self.identified_P, np.bool_)

    def decide(self, x_KF: FloatArray, atr_K: FloatArray) -> FloatArray:
        """Return the parameters for raw features as a decision has them.

        Parameters
        ----------
        x_KF : float64 array, shape (K, 208)
        atr_K : float64 array, shape (K,)
            Measured ATR of each decision's bar, in price units.

        Returns
        -------
        float64 array, shape (K, 132)
            In real units, within the table's ranges. A row's answer hangs on that row alone; it is
            NaN throughout where a feature is not finite or the ATR not positive and finite.
        """
        x_KF = np.ascontiguousarray(x_KF, np.float64)
        unit_KF = np.empty(x_KF.shape, np.float32)
        unit_rows(x_KF, *self._scaling, unit_KF)
        unit_KP = self.net.forward(unit_KF)
        values_KP = np.empty((len(x_KF), N_PARAMETERS))
        atr_K = np.ascontiguousarray(atr_K, np.float64)
        ranges = (_LOW_P, _HIGH_P, _WHOLE_P, *self.atr_ratio)
        _to_real_units(unit_KP, x_KF, atr_K, *ranges, self._net_decides_P, self.base_P, values_KP)
        return values_KP


@vectorised
def _to_real_units(
    unit_KP: Float32Array,
    x_KF: FloatArray,
    atr_K: FloatArray,
    low_P: FloatArray,
    high_P: FloatArray,
    whole_P: BoolArray,
    ratio_low: float,
    ratio_high: float,
    net_decides_P: BoolArray,
    base_P: FloatArray,
    values_KP: FloatArray,
) -> None:
    """Do for each row what `exits.parameters.denormalize` does, to the bit."""
    for k in range(len(unit_KP)):
        atr = atr_K[k]
        usable = 0.0 < atr < np.inf and ratio_high * atr < np.inf and ratio_low * atr > 0.0
        for f in range(x_KF.shape[1]):
            usable &= np.isfinite(x_KF[k, f])
        if not usable:
            values_KP[k] = np.nan
            continue
        for p in range(N_PARAMETERS):
            if not net_decides_P[p]:
                values_KP[k, p] = atr if p == ATR_P else base_P[p]
                continue
            low, high = low_P[p], high_P[p]
            if p == ATR_P:
                low, high = ratio_low * atr, ratio_high * atr
            unit = min(max(np.float64(unit_KP[k, p]), 0.0), 1.0)
            value = min(max(low * (1.0 - unit) + high * unit, low), high)
            values_KP[k, p] = np.floor(value + 0.5) if whole_P[p] else value


def save_exit_model(folder: Path, model: ExitModel) -> Path:
    """Write a model's files; return the path of its description, `exit_model.json`.

    The weights come first, under a name of their own; the description, which names them, takes its
    place last and at once. Whoever loads meanwhile gets the model before or this one.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    document, content = _described(model)
    write_bytes_atomically(folder / document["net"]["name"], content)
    write_json_atomically(folder / DESCRIPTION, document)
    nets = sorted(folder.glob("net-*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    # The one before stays, for whoever has just read the description that names it.
    for older in nets[:-2]:
        if older.name != document["net"]["name"]:
            older.unlink(missing_ok=True)
    return folder / DESCRIPTION


def _described(model: ExitModel) -> tuple[dict[str, Any], bytes]:
    """Return the description of a model and the content of the file of its weights."""
    from safetensors.numpy import save

    arrays = [np.ascontiguousarray(array) for layer in model.net.layers for array in layer]
    content: bytes = save(dict(zip(tensor_names(), arrays, strict=True)))
    sha256 = hashlib.sha256(content).hexdigest()
    known = {
        "version": VERSION,
        "schema_digest": SCHEMA_DIGEST,
        "shape": list(WIDTHS),
        "hindsight": bool(model.hindsight),
        "trained_until": f"{np.datetime_as_string(model.trained_until, unit='us')}Z",
        "atr_ratio": [float(one) for one in model.atr_ratio],
        "bounds": model.bounds.to_json(),
        "parameters": {name: _entry(model, p) for p, name in enumerate(NAMES)},
        "net": {
            "name": f"net-{sha256[:12]}.safetensors",
            "bytes": len(content),
            "sha256": sha256,
        },
    }
    document = json.loads(json.dumps(to_json_safe(known)))
    facts = to_json_safe(dict(model.facts))
    libraries = {name: version(name) for name in LIBRARIES}
    return {
        **document,
        "digest": digest_of(document),
        "facts": facts,
        "libraries": libraries,
    }, content


def _entry(model: ExitModel, p: int) -> dict[str, Any]:
    base = None if p == ATR_P else float(model.base_P[p])
    why = model.why.get(NAMES[p], "")
    return {"identified": bool(model.identified_P[p]), "base": base, "why": why}


def load_exit_model(folder: Path, *, allow_hindsight: bool = False) -> ExitModel:
    """Return the model of a folder; runs no code from its files, and opens none unverified.

    Parameters
    ----------
    folder : Path
        As `save_exit_model` left it.
    allow_hindsight : bool
        Whether a model that was shown the outcome of its trades may be loaded: to be looked at.

    Raises
    ------
    ExitModelError
        One line naming the file, what was found and expected, and what to do.
    """
    path = folder / DESCRIPTION
    try:
        description = read_description(folder)
        if description.hindsight and not allow_hindsight:
            raise ExitModelError(
                "was trained with exits.allow_hindsight=true: it has seen how its trades ended, "
                "which nobody knows who trades; train again without"
            )
        net = ExitNet(read_weights(folder, description.net))
        return _model(description, net)
    except ValueError as error:
        raise ExitModelError(f"{path}: {error}") from error


def _model(description: Description, net: ExitNet) -> ExitModel:
    entries = [description.parameters[name] for name in NAMES]
    base_P = np.array([np.nan if one.base is None else one.base for one in entries])
    until = description.trained_until.astimezone(UTC)
    return ExitModel(
        net=net,
        bounds=_bounds(description),
        identified_P=np.array([one.identified for one in entries]),
        base_P=base_P,
        atr_ratio=description.atr_ratio,
        hindsight=description.hindsight,
        trained_until=np.datetime64(until.replace(tzinfo=None), "us"),
        facts=description.facts,
        why={name: one.why for name, one in zip(NAMES, entries, strict=True) if one.why},
    )


def _bounds(description: Description) -> FeatureBounds:
    try:
        return FeatureBounds.from_json(description.bounds)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{printable(str(error))}; {AGAIN}") from error
