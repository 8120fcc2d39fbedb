"""The file that a sweep leaves behind: what it found for each symbol and model, adopted or not.

It may have been written elsewhere: it is read strictly, as data, and nothing in it is run.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from market.reading.safe_names import SYMBOL, clipped, printable
from selection.atomic import write_bytes_atomically
from selection.strict_json import MOST_BYTES, strict_json

SCHEMA_VERSION = 1
ENDINGS = ("complete", "pruned", "failed")
LONGEST_SHOWN = 60
# What stands above a model's entry in the file, and not in it.
_PLACE = ("symbol", "model")
_STRICT = {"strict": True, "extra": "forbid"}


@dataclass(frozen=True, slots=True)
class Score:
    """What one procedure's predictions were worth, on rows that none of its fits had seen.

    Attributes
    ----------
    log_loss : float
        Nats per row.
    accuracy : float
    rows : int
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    log_loss: float
    accuracy: float
    rows: int

    def __post_init__(self) -> None:
        _check(self.log_loss >= 0, "log_loss", "at least 0", self.log_loss)
        _check(0 <= self.accuracy <= 1, "accuracy", "in [0, 1]", self.accuracy)
        _check(self.rows >= 0, "rows", "at least 0", self.rows)


@dataclass(frozen=True, slots=True)
class Compared:
    """The default procedure and the tuned model, on the same rows."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    default: Score
    tuned: Score


@dataclass(frozen=True, slots=True)
class Adoption:
    """The paired test of the tuned model against the default procedure on later rows.

    Attributes
    ----------
    rows : int
    effective_rows : float
        Less than ``rows`` where labels overlap.
    gain, standard_error : float
        Nats per row by which the tuned model's log-loss is lower.
    p_value : float
        One-sided.
    alpha : float
        What it had to be below.
    look : int
        How many times these rows have been looked at, this one included.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    rows: int
    effective_rows: float
    gain: float
    standard_error: float
    p_value: float
    alpha: float
    look: int

    def __post_init__(self) -> None:
        for name in ("rows", "effective_rows", "standard_error"):
            _check(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        _check(0 <= self.p_value <= 1, "p_value", "in [0, 1]", self.p_value)
        _check(0 < self.alpha < 1, "alpha", "in (0, 1)", self.alpha)
        _check(self.look >= 1, "look", "at least 1", self.look)


@dataclass(frozen=True, slots=True)
class TunedModel:
    """What a study found for one model of one symbol.

    Attributes
    ----------
    symbol, model : str
        The model by its name in results: ``XGBoost``.
    study : str
        Its name in the storage.
    hyperparameters : dict
        All of the best trial's.
    adopted : bool
        Whether they are to take the place of the configured ones.
    reason : str
        One line.
    trials : dict of str to int
        How many there were: ``complete``, ``pruned``, ``failed``.
    best_trial : int or None
        Number of the best one; None where none was completed.
    tuned_until : datetime
        With its zone. Every label that a trial has seen had ended by then: what is decided at or
        after it has told the search nothing.
    development_digest : str
        Of the rows it was tuned on and judged by (`Samples.digest`).
    cross_validated : Compared or None
        On the blocks that trials were compared by.
    later : Compared or None
        On the blocks after them; None where the tuned model was not taken that far.
    adoption : Adoption or None
        None likewise.

    Raises
    ------
    ValueError
        If a value is out of range, or it is adopted without a test that speaks for it.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    symbol: str
    model: str
    study: str
    hyperparameters: dict[str, Any]
    adopted: bool
    reason: str
    trials: dict[str, int]
    best_trial: int | None
    tuned_until: datetime
    development_digest: str
    cross_validated: Compared | None
    later: Compared | None
    adoption: Adoption | None

    def __post_init__(self) -> None:
        _check(SYMBOL.fullmatch(self.symbol) is not None, "symbol", "a symbol", self.symbol)
        for name in ("model", "study", "reason", "development_digest"):
            text = getattr(self, name)
            _check(bool(text) and text.isprintable(), name, "one line of text", text)
        counted = set(self.trials) == set(ENDINGS) and min(self.trials.values()) >= 0
        _check(counted, "trials", f"counts of {', '.join(ENDINGS)}", self.trials)
        zoned = self.tuned_until.utcoffset() is not None
        _check(zoned, "tuned_until", "a time with its zone", str(self.tuned_until))
        object.__setattr__(self, "tuned_until", self.tuned_until.astimezone(UTC))
        if self.adopted:
            found = self.adoption
            speaks = found is not None and found.p_value < found.alpha and found.gain > 0
            _check(speaks, "adopted", "false without a test that speaks for it", True)
            _check(bool(self.hyperparameters), "hyperparameters", "those adopted", {})

    @property
    def n_trials(self) -> int:
        """How many trials there were, whatever became of them."""
        return sum(self.trials.values())


@dataclass(frozen=True, slots=True)
class TunedFile:
    """What one sweep found.

    Attributes
    ----------
    timestamp : datetime
        With its zone.
    simulated : bool
        Whether its market is made up.
    seed : int
    definitions : dict
        By section of the configuration, what the sweep's rows and fits were made with.
    studies : dict
        ``{symbol: {model: TunedModel}}``.

    Raises
    ------
    ValueError
        If the time has no zone, or a study stands under another symbol or model than its own.
    """

    timestamp: datetime
    simulated: bool
    seed: int
    definitions: dict[str, Any]
    studies: Mapping[str, Mapping[str, TunedModel]]

    def __post_init__(self) -> None:
        zoned = self.timestamp.utcoffset() is not None
        _check(zoned, "timestamp", "a time with its zone", str(self.timestamp))
        object.__setattr__(self, "timestamp", self.timestamp.astimezone(UTC))
        for symbol, models in self.studies.items():
            for model, one in models.items():
                own = (one.symbol, one.model)
                _check(own == (symbol, model), f"studies.{symbol}.{model}", "its own", own)

    def found(self, symbol: str, model: str) -> TunedModel | None:
        """Return what was found for a model of a symbol; None where it was not swept."""
        return self.studies.get(symbol, {}).get(model)


def read_tuned(path: Path) -> TunedFile:
    """Return what a sweep found.

    Raises
    ------
    ValueError
        One line naming the file and the key that is missing, unknown or not as it must be.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    try:
        return _parsed(strict_json(content))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_tuned(path: Path, tuned: TunedFile) -> None:
    """Write what a sweep found, whole or not at all.

    Raises
    ------
    ValueError
        If it holds what is no plain JSON, and could not be read back.
    OSError
        If it cannot be written.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "timestamp": tuned.timestamp.isoformat(),
        "simulated": tuned.simulated,
        "seed": tuned.seed,
        "definitions": tuned.definitions,
        "studies": {
            symbol: {model: _entry(one) for model, one in models.items()}
            for symbol, models in tuned.studies.items()
        },
    }
    try:
        content = f"{json.dumps(document, indent=2, allow_nan=False)}\n".encode()
        read_back = _parsed(strict_json(content))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if read_back != tuned:
        raise ValueError(f"{path}: holds what plain JSON cannot: tuples, or keys that are no text")
    write_bytes_atomically(path, content)


def _entry(one: TunedModel) -> dict[str, Any]:
    held = {name: value for name, value in asdict(one).items() if name not in _PLACE}
    return {**held, "tuned_until": one.tuned_until.isoformat()}


def _parsed(document: Any) -> TunedFile:
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != SCHEMA_VERSION or isinstance(version, bool):
        shown = printable(repr(version))[:LONGEST_SHOWN]
        raise ValueError(
            f"schema_version must be {SCHEMA_VERSION}, was {shown}; give a tuned.json that a sweep "
            "of this version wrote"
        )
    plain = {key: value for key, value in document.items() if key != "schema_version"}
    _check_keys("", plain, {field.name for field in fields(TunedFile)})
    studies = _typed("studies", plain["studies"], dict[str, dict[str, dict[str, Any]]])
    own = {field.name for field in fields(TunedModel)} - set(_PLACE)
    parsed: dict[str, dict[str, TunedModel]] = {}
    for symbol, models in studies.items():
        parsed[symbol] = {}
        for model, entry in models.items():
            place = f"studies.{clipped(symbol)}.{clipped(model)}"
            _check_keys(f"{place}.", entry, own)
            whole = {**entry, "symbol": symbol, "model": model}
            parsed[symbol][model] = _typed(place, whole, TunedModel)
    kinds = {"timestamp": datetime, "simulated": bool, "seed": int, "definitions": dict[str, Any]}
    root = {name: _typed(name, plain[name], kind) for name, kind in kinds.items()}
    return TunedFile(**root, studies=parsed)


def _check_keys(place: str, held: Mapping[str, Any], expected: set[str]) -> None:
    for key in sorted(expected - set(held)):
        raise ValueError(f"{place}{key} is missing")
    for key in sorted(set(held) - expected):
        raise ValueError(f"{place}{clipped(key)}: unknown key")


def _typed(place: str, value: Any, kind: Any) -> Any:
    """Return a JSON value as the type it must have; raises ValueError naming its place."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join([place, *(clipped(str(key)) for key in first["loc"])])
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] == "value_error":  # from `_check`, which names key and value
            raise ValueError(f"{where}.{printable(said)}") from None
        shown = printable(repr(first["input"]))[:LONGEST_SHOWN]
        raise ValueError(f"{where}: {said[:1].lower()}{said[1:]}, was {shown}") from None


def _check(holds: bool, name: str, expected: str, found: object) -> None:
    if not holds:
        raise ValueError(f"{name} must be {expected}, was {printable(repr(found))[:LONGEST_SHOWN]}")
