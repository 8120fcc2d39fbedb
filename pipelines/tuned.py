"""What a run takes from a sweep: checked against the run before anything is trained."""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from market.bars_until import BarsUntil
from market.source import is_simulated
from models.base import Model
from pipelines.command import ConfigError, nearest
from pipelines.run_digest import digest, without_places
from pipelines.sections import MODELS
from pipelines.settings import TrainSettings
from pipelines.typed_conf import model_of
from selection.certified import COUNCIL
from selection.tuned_file import TunedFile, TunedModel, read_tuned
from training.prepare import Prepared

LAST = "last"
LAST_FILE = Path("runs/sweeps/last.json")
SWEEP = "python -m pipelines.sweep"
# What decides which rows there are, and what the default procedure was.
ROWS = ("data", "features", "events", "labels", "split")
# Of bars up to a moment, however many came before it: a sweep's were the first of them, and what
# was held out then may be learnt from. No model is judged on rows that its search has seen.
GROWS = ("data.n_bars", "split.holdout_fraction")
PROCEDURE = ("augmentation", "regularize", "training", "models")
CONF_NAMES = {kind.name: name for name, kind in MODELS.items()}
MISSING = "nothing"

_log = logging.getLogger(__name__)

One = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a sweep found for the symbols and models of a run.

    Attributes
    ----------
    found : mapping
        By symbol and model, adopted or not.
    models : mapping
        Of those adopted, the unfitted model with its hyperparameters.
    """

    found: Mapping[One, TunedModel] = field(default_factory=dict)
    models: Mapping[One, Model] = field(default_factory=dict)

    @property
    def digest(self) -> str | None:
        """What identifies its content, wherever the file lies; None where there is none."""
        if not self.found:
            return None
        held = [asdict(self.found[one]) for one in sorted(self.found)]
        return digest([{**one, "tuned_until": str(one["tuned_until"])} for one in held])


def tuning_of(settings: TrainSettings, conf: Mapping[str, Any]) -> Tuning:
    """Read what ``tuned`` names; nothing where it is null.

    Raises
    ------
    ConfigError
        One line: there is no such file, it cannot be read, it was found on other rows than this run
        has, or its hyperparameters are none.
    """
    if settings.tuned is None:
        return Tuning()
    path = LAST_FILE if settings.tuned == LAST else Path(settings.tuned)
    file = _read(settings.tuned, path)
    _check_rows(settings, file, conf)
    _check_models(path, file)
    in_run = {model.name for model in settings.models}
    found: dict[One, TunedModel] = {}
    others = []
    for symbol, models in file.studies.items():
        for name, one in models.items():
            if symbol in settings.symbols and name in in_run:
                found[symbol, name] = one
            else:
                others.append(f"{symbol} {name}")
    if others:
        _log.info("tuned=%s: passed over, not in this run: %s", settings.tuned, ", ".join(others))
    swept = {name for _, name in found}
    if found and (changed := list(_differences(file, conf, PROCEDURE, swept))):
        told = "tuned=%s: %s: the sweep compared with another default; what it adopted is used"
        _log.warning(told, settings.tuned, _in_words(*changed[0]))
    adopted = {one: _model(path, tuned) for one, tuned in found.items() if tuned.adopted}
    return Tuning(found, adopted)


def applied(tuning: Tuning, prepared: Mapping[str, Prepared]) -> Tuning:
    """Return what holds for these rows: a model that no row could speak for is not taken over."""
    found = {one: tuned for one, tuned in tuning.found.items() if one[0] in prepared}
    for (symbol, name), tuned in found.items():
        split = prepared[symbol].split
        development = split.development
        last = development.t0_N[split.folds[-1].block.stop - 1]
        if tuned.adopted and last < np.datetime64(tuned.tuned_until.replace(tzinfo=None), "us"):
            reason = f"it was tuned until {_moment(tuned)}, and no row of this run is later"
            _log.warning("%s %s: trained as configured: %s", symbol, name, reason)
            found[symbol, name] = replace(tuned, adopted=False, reason=reason)
        elif tuned.development_digest != development.digest():
            told = "%s %s: was swept on other data of this symbol, until %s"
            _log.info(told, symbol, name, _moment(tuned))
    models = {one: model for one, model in tuning.models.items() if one in found}
    return Tuning(found, {one: model for one, model in models.items() if found[one].adopted})


def _read(given: str, path: Path) -> TunedFile:
    if not given.strip():
        raise ConfigError(f"tuned must be null, {LAST}, or the path of a tuned.json, was empty")
    if path.is_dir():
        raise ConfigError(f"tuned={given}: is a folder; give the tuned.json in it")
    try:
        return read_tuned(path)
    except FileNotFoundError:
        if given == LAST:
            raise ConfigError(f"tuned={LAST}: there is no sweep yet; run {SWEEP}") from None
        raise ConfigError(
            f"tuned={given}: there is no such file; give {LAST}, or the tuned.json of a sweep"
        ) from None
    except OSError as error:
        raise ConfigError(f"tuned={given}: {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"tuned={given}: {error}") from error


def _check_rows(settings: TrainSettings, file: TunedFile, conf: Mapping[str, Any]) -> None:
    grows = GROWS if isinstance(settings.source, BarsUntil) else ()
    changed = [one for one in _differences(file, conf, ROWS, set()) if one[0] not in grows]
    if is_simulated(settings.source) and file.seed != settings.seed:
        # Another seed is another market.
        changed.append(("seed", file.seed, settings.seed))
    if changed:
        raise ConfigError(
            f"tuned={settings.tuned}: {_in_words(*changed[0])}, so that these are not the rows it "
            f"was found on; change {_key(changed[0][0])} back, or sweep again with {SWEEP}"
        )


def _differences(
    file: TunedFile, conf: Mapping[str, Any], sections: tuple[str, ...], names: set[str]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield each key that differs, with what it was in the sweep and is now.

    Of ``models`` only those of these names count.
    """
    here = without_places(conf)
    known = {CONF_NAMES[name] for name in names}
    for section in sections:
        was, now = (one.get(section) for one in (file.definitions, here))
        if not (isinstance(was, dict) and isinstance(now, dict)):
            if was != now:
                yield section, was, now
            continue
        for key in dict.fromkeys([*now, *was]):
            of_another = section == "models" and key not in known
            if not of_another and was.get(key, MISSING) != now.get(key, MISSING):
                yield f"{section}.{key}", was.get(key, MISSING), now.get(key, MISSING)


def _in_words(key: str, was: Any, now: Any) -> str:
    if isinstance(was, dict | list) or isinstance(now, dict | list):
        return f"{_key(key)} is not what it was in the sweep"
    shown = (one if one == MISSING else json.dumps(one).strip('"') for one in (now, was))
    return "{} is {}, but was {} in the sweep".format(_key(key), *shown)


def _key(key: str) -> str:
    """Return a key as it is set: that of a group's choice by the group's name."""
    return key.removesuffix(".kind")


def _check_models(path: Path, file: TunedFile) -> None:
    known = sorted(CONF_NAMES.keys() - {COUNCIL})
    for symbol, models in file.studies.items():
        for name in models:
            if name == COUNCIL:
                raise ConfigError(
                    f"{path}: studies.{symbol}.{name}: the council is never tuned, for evidence "
                    "rests on it; remove it, or sweep again"
                )
            if name not in known:
                raise ConfigError(
                    f"{path}: studies.{symbol}.{name}: unknown model{nearest(name, known)}"
                )


def _model(path: Path, tuned: TunedModel) -> Model:
    place = f"{path}: studies.{tuned.symbol}.{tuned.model}.hyperparameters"
    return model_of(place, CONF_NAMES[tuned.model], tuned.hyperparameters)


def _moment(tuned: TunedModel) -> str:
    return f"{tuned.tuned_until:%Y-%m-%d %H:%M} UTC"
