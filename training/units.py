"""Finished fits on disk, so that a run that was cut off goes on where it was.

A unit is one fit of one task: a fold's, tried in some way, or the final one. The units of a task
lie in a folder, in files that only grow, one for each process that has worked on it, so that no two
ever write to the same. A record is its lengths, its SHA-256, JSON and an array; one that was cut
short, or is not what its digest says, ends its file: what comes behind it is fitted again.

Axes: N rows of a block.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import secrets
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from market.bars import FloatArray
from models.base import Model
from training.task import Keeping, Task
from training.used_code import used_code_digest

FITTED_WITH = (
    *("imbalanced-learn", "numba", "numpy", "scikit-learn", "scipy", "torch"),
    *("xgboost", "xgboost-cpu"),
)
NO_ROWS: FloatArray = np.zeros(0)
# Windows would turn line ends into others.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_LENGTHS = struct.Struct("<QQ")
_DIGEST_BYTES = hashlib.sha256().digest_size
# What a power cut may cost of quick fits, at most; a process that dies loses nothing.
_UNSYNCED_S = 1.0
WORTH_SYNCING_S = 0.1


@dataclass(frozen=True, slots=True)
class Unit:
    """What is kept of one fit.

    Attributes
    ----------
    facts : dict
        What JSON holds; NaN and infinities too.
    p_N : float64 array
        Probabilities of winning for the rows of its block.
    """

    facts: dict[str, Any]
    p_N: FloatArray = field(default_factory=lambda: NO_ROWS)


class Units:
    """The finished fits of one task; made by the process that works on it.

    Files that were written under another key are removed.

    Parameters
    ----------
    folder : Path
        Of this task; made when the first fit is kept.
    key : str
        Of all that decides what the task's fits are; see `unit_key`.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._key = key
        self._known = kept_units(folder, key)
        self._path = folder / f"{key}.{secrets.token_hex(4)}"
        self._file: int | None = None
        self._synced_s = -_UNSYNCED_S
        for path in folder.glob("*"):
            if path.stem != key:
                path.unlink(missing_ok=True)

    def get(self, name: str) -> Unit | None:
        """Return what is kept of a fit, or None."""
        return self._known.get(name)

    def keep(self, units: Mapping[str, Unit], *, took_s: float = 0.0) -> None:
        """Keep fits, all at once: when this has returned no death of a process can lose them.

        Nor can a power cut, where they took long; of quick ones it costs a second's work.

        Raises
        ------
        OSError
            If they cannot be written; what was kept before is whole.
        """
        records = b"".join(_record(name, unit, self._key) for name, unit in units.items())
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, _NEW, 0o644)
        begin = os.lseek(self._file, 0, os.SEEK_CUR)
        try:
            _write_all(self._file, records)
            self._sync(at_once=took_s > WORTH_SYNCING_S)
        except OSError as error:
            os.ftruncate(self._file, begin)
            os.lseek(self._file, begin, os.SEEK_SET)
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._known |= units

    def close(self) -> None:
        """Bring everything to the disk and close the file."""
        if self._file is not None:
            try:
                self._sync(at_once=True)
            finally:
                os.close(self._file)
                self._file = None

    def _sync(self, *, at_once: bool) -> None:
        assert self._file is not None  # noqa: S101 - only called with an open file
        if at_once or time.monotonic() - self._synced_s > _UNSYNCED_S:
            os.fsync(self._file)
            self._synced_s = time.monotonic()


def kept_units(folder: Path, key: str, files: str | None = None) -> dict[str, Unit]:
    """Return the fits of a task that are kept, by name, in all its files or one; reads only."""
    known: dict[str, Unit] = {}
    for path in sorted(folder.glob(files or f"{key}.*")):
        known |= dict(_records(path.read_bytes(), key))
    return known


def keeping(task: Task, folder: Path, development_digest: str) -> Task:
    """Return a task whose finished fits are kept in a folder of their own; see `unit_key`."""
    return replace(task, keeping=Keeping(folder, unit_key(task, development_digest)))


def unit_key(task: Task, development_digest: str) -> str:
    """Return the digest of all that decides what the fits of a task are: data, settings and code.

    Parameters
    ----------
    task : Task
        Where it saves and keeps what it makes does not matter.
    development_digest : str
        Of the rows of its split, see `Samples.digest`.
    """
    split = task.split
    folds = hashlib.sha256()
    for fold in split.folds:
        folds.update(np.ascontiguousarray(fold.train_N).tobytes())
        folds.update(f"{fold.block.start}:{fold.block.stop} ".encode())
    parts = {
        "symbol": task.symbol,
        "data": development_digest,
        "folds": folds.hexdigest(),
        "parts": [split.n_cv, *_ends(split.validation), *_ends(split.test), split.refits],
        "path": [_described(model) for model in (task.model, *task.stronger)],
        "early_stopping_fraction": task.early_stopping_fraction,
        "augmentation": [task.augmentation, _made_by(task.new_augmenter)],
        "calibrates": task.calibrates if task.judged_from is None else str(task.judged_from),
        "monitor": _made_by(task.new_monitor),
        "seed": task.seed,
        "code": used_code_digest("training.walk_forward", type(task.model).__module__),
        "libraries": {name: _version(name) for name in FITTED_WITH},
        "machine": [platform.python_version(), platform.machine()],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def _version(library: str) -> str | None:
    # XGBoost has two distributions, of which one is installed.
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(library)
    return None


def _record(name: str, unit: Unit, key: str) -> bytes:
    text = json.dumps({"name": name, "facts": unit.facts}).encode()
    array = np.ascontiguousarray(unit.p_N, dtype="<f8").tobytes()
    lengths = _LENGTHS.pack(len(text), len(array))
    return lengths + _digest(key, lengths, text, array) + text + array


def _records(content: bytes, key: str) -> Iterator[tuple[str, Unit]]:
    """Yield names and units up to the first record that is not whole, or not of this key."""
    at = 0
    while len(content) - at >= _LENGTHS.size + _DIGEST_BYTES:
        n_text, n_array = _LENGTHS.unpack_from(content, at)
        begin = at + _LENGTHS.size + _DIGEST_BYTES
        at = begin + n_text + n_array
        text, array = content[begin : begin + n_text], content[begin + n_text : at]
        lengths = content[begin - _DIGEST_BYTES - _LENGTHS.size : begin - _DIGEST_BYTES]
        if content[begin - _DIGEST_BYTES : begin] != _digest(key, lengths, text, array):
            return
        told = json.loads(text)
        yield told["name"], Unit(told["facts"], np.frombuffer(array, dtype="<f8"))


def _digest(key: str, lengths: bytes, text: bytes, array: bytes) -> bytes:
    return hashlib.sha256(key.encode() + lengths + text + array).digest()


def _write_all(file: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def _ends(rows: slice) -> tuple[int, int]:
    return rows.start, rows.stop


def _described(model: Model) -> list[Any]:
    return [type(model).__module__, type(model).__qualname__, model.hyperparameters]


def _made_by(make: Callable[..., Any]) -> list[Any]:
    """Describe what makes an object: a class, or one with some of its arguments given."""
    given: Mapping[str, Any] = make.keywords if isinstance(make, partial) else {}
    made: Any = make.func if isinstance(make, partial) else make
    return [made.__module__, made.__qualname__, dict(given)]
