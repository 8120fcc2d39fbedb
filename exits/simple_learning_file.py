"""`simple_learning.json`: what simple learning found, written whole and read strictly.

It may have been written elsewhere: it is read as data, and nothing in it is run.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from exits.feature_table import SCHEMA_DIGEST
from exits.simple_learning import (
    HIGH_B,
    LEARNT,
    LOW_B,
    REGIMES,
    SESSIONS,
    Bucket,
    SimpleLearning,
)
from market.reading.safe_names import clipped, printable
from selection.atomic import write_json_atomically
from selection.plain_files import NotThereError, read_plain
from selection.strict_json import strict_json

FILE = "simple_learning.json"
VERSION = 1
MOST_BYTES = 2**20
_AGAIN = "learn again with python -m pipelines.train_exits"
_LONGEST_SHOWN, _DIGITS_SHOWN = 60, 12
_STRICT = {"strict": True, "extra": "forbid"}


class SimpleLearningError(ValueError):
    """A file of buckets that cannot be used; one line naming it, what was found and what to do."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One bucket as the file holds it."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    regime: str
    session: str
    trades: int
    mean_r: float
    weight: float
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Document:
    """All of the file."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    version: int
    schema_digest: str
    learnt_until: datetime | None
    left_out: int
    buckets: list[_Entry]


def save_simple(path: Path, learning: SimpleLearning) -> None:
    """Write the buckets as JSON, whole or not at all.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    until = learning.learnt_until
    entries = [
        _Entry(
            REGIMES[regime],
            SESSIONS[session],
            bucket.trades,
            bucket.mean_r,
            bucket.weight,
            dict(zip(LEARNT, bucket.values_B, strict=True)),
        )
        for (regime, session), bucket in sorted(learning.buckets.items())
    ]
    document = {
        "version": VERSION,
        "schema_digest": SCHEMA_DIGEST,
        "learnt_until": None if np.isnat(until) else f"{np.datetime_as_string(until, 'us')}Z",
        "left_out": learning.left_out,
        "buckets": [asdict(entry) for entry in entries],
    }
    write_json_atomically(path, document)


def load_simple(path: Path) -> SimpleLearning:
    """Return the buckets of a file.

    Raises
    ------
    SimpleLearningError
        One line naming the file: it is missing, is not JSON, is of another version or other
        features, or holds what no trade can have taught.
    """
    try:
        content = read_plain(path.parent, path.name, most_bytes=MOST_BYTES)
        return _learning(_typed(strict_json(content)))
    except NotThereError as error:
        raise SimpleLearningError(f"{path}: is missing; {_AGAIN}") from error
    except ValueError as error:
        raise SimpleLearningError(f"{path}: {error}") from error


def _learning(document: _Document) -> SimpleLearning:
    buckets: dict[tuple[int, int], Bucket] = {}
    for place, entry in enumerate(document.buckets):
        key, bucket = _bucket(f"buckets.{place}", entry)
        if key in buckets:
            raise ValueError(f"buckets.{place}: {entry.regime}, {entry.session} stands twice")
        buckets[key] = bucket
    until = _until(document)
    return SimpleLearning(buckets=buckets, learnt_until=until, left_out=document.left_out)


def _typed(document: Any) -> _Document:
    from pydantic import TypeAdapter, ValidationError

    version = document.get("version") if isinstance(document, dict) else None
    if version != VERSION or isinstance(version, bool):
        raise ValueError(f"version must be {VERSION}, was {_shown(version)}; {_AGAIN}")
    digest = document.get("schema_digest")
    if digest != SCHEMA_DIGEST:
        raise ValueError(
            f"was learnt from features with the digest {_shown(digest)[:_DIGITS_SHOWN]}..., those "
            f"of this version have {SCHEMA_DIGEST[:_DIGITS_SHOWN]}...; {_AGAIN}"
        )
    try:
        return TypeAdapter(_Document).validate_json(json.dumps(document))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(clipped(str(key)) for key in first["loc"])
        said = printable(first["msg"])
        shown = _shown(first["input"])
        raise ValueError(f"{where}: {said[:1].lower()}{said[1:]}, was {shown}") from None


def _until(document: _Document) -> np.datetime64:
    until = document.learnt_until
    if until is None:
        return np.datetime64("NaT", "us")
    if until.utcoffset() is None:
        raise ValueError(f"learnt_until must have its zone, was {until}")
    return np.datetime64(until.astimezone(UTC).replace(tzinfo=None), "us")


def _bucket(place: str, entry: _Entry) -> tuple[tuple[int, int], Bucket]:
    for name, known in (("regime", REGIMES), ("session", SESSIONS)):
        if getattr(entry, name) not in known:
            found = _shown(getattr(entry, name))
            raise ValueError(f"{place}.{name} must be one of {', '.join(known)}, was {found}")
    if set(entry.values) != set(LEARNT):
        name = sorted(set(entry.values) ^ set(LEARNT))[0]
        what = "is missing" if name in LEARNT else "is none of those learnt"
        raise ValueError(f"{place}.values.{clipped(name)} {what}; {_AGAIN}")
    for name, low, high in zip(LEARNT, LOW_B, HIGH_B, strict=True):
        if not low <= (value := entry.values[name]) <= high:
            raise ValueError(f"{place}.values.{name} must be in [{low:g}, {high:g}], was {value}")
    if entry.trades < 1 or not 0 <= entry.weight <= entry.trades:
        raise ValueError(f"{place}: {entry.trades} trades of weight {entry.weight} cannot be")
    values_B = tuple(entry.values[name] for name in LEARNT)
    key = REGIMES.index(entry.regime), SESSIONS.index(entry.session)
    return key, Bucket(entry.trades, entry.mean_r, entry.weight, values_B)


def _shown(value: object) -> str:
    text = printable(value if isinstance(value, str) else repr(value))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
