"""Features and labels kept between runs under the name of all that decides what they are."""

import contextlib
import functools
import hashlib
import json
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numba
import numpy as np
import polars as pl

from market.kept_files import BrokenEntryError, Kept, packed, unpacked, write_whole
from market.reading.file_bytes import NotAFileError, regular_bytes

# Nothing by other names is read or removed.
ENTRY = re.compile(r"[0-9a-f]{64}\.events")
TEMPORARY = re.compile(r"\.[0-9a-f]{64}\.events\.[0-9a-f]{8}\.tmp")
ABANDONED_S = 3600.0
FILLED_AGAIN = 0.9  # of the room, after the oldest entries have gone
SOURCES = Path(__file__).parent

_log = logging.getLogger(__name__)


class TableCache:
    """A folder of entries; the least recently used go when there is no room for another.

    Several processes may use one folder. What cannot be read is made anew, and what cannot be
    written is not kept: neither ends a run.

    Parameters
    ----------
    folder : Path
        Made when the first entry is written.
    max_bytes : float
        Most that the entries may take.
    data : Path or None
        Where the user's own files lie: nothing is written in there.
    """

    def __init__(self, folder: Path, *, max_bytes: float, data: Path | None = None) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.data = data
        self._room_bytes: float | None = None
        self._is_writable = True

    def get(self, key: str, *, now_utc: datetime | None) -> Kept | None:
        """Return an entry, or None where there is none that can be believed.

        Parameters
        ----------
        key : str
            As `table_key` returns it.
        now_utc : datetime or None
            An entry made later than this is passed over; None where time decides nothing.
        """
        path = self._path(key)
        if self._is_writable and _is_inside(self.folder, self.data):
            self._turn_down(f"{self.folder} lies in data.dir, which is left alone")
        try:
            kept = unpacked(key, regular_bytes(path))
        except FileNotFoundError:
            return None
        except (OSError, NotAFileError, BrokenEntryError) as error:
            _log.debug("%s cannot be used and is made anew: %s", path, error)
            return None
        if now_utc is not None and kept.since_utc is not None and now_utc < kept.since_utc:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # when it was last used
        return kept

    def keep(self, key: str, kept: Kept) -> None:
        """Write an entry; where the folder cannot be written to, say so once and keep nothing."""
        if not self._is_writable:
            return
        try:
            content = packed(key, kept)
        except (TypeError, ValueError) as error:
            _log.debug("%s is not kept: %s", kept.table.symbol, error)
            return
        try:
            write_whole(self._path(key), content)
            self._make_room(len(content))
        except OSError as error:
            self._turn_down(f"{self.folder} cannot be written to ({error.strerror})")

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.events"

    def _turn_down(self, why: str) -> None:
        self._is_writable = False
        _log.warning(
            "data.cache: %s: features and labels are not kept for the next run; name another "
            "folder, or null",
            why,
        )

    def _make_room(self, written_bytes: int) -> None:
        """Remove the least recently used entries, where this one was too much."""
        if self._room_bytes is not None:
            self._room_bytes -= written_bytes
        if self._room_bytes is not None and self._room_bytes >= 0:
            return
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        if total > self.max_bytes:
            for _, size, path in entries[:-1]:
                if total <= FILLED_AGAIN * self.max_bytes:
                    break
                path.unlink(missing_ok=True)
                total -= size
        self._room_bytes = self.max_bytes - total

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        """Yield when each entry was last used, its size and its file; clear what was cut off."""
        with os.scandir(self.folder) as files:
            for file in files:
                is_entry = ENTRY.fullmatch(file.name) is not None
                if not (is_entry or TEMPORARY.fullmatch(file.name)):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    found = file.stat()
                    if is_entry:
                        yield found.st_mtime, found.st_size, Path(file.path)
                    elif time.time() - found.st_mtime > ABANDONED_S:
                        Path(file.path).unlink(missing_ok=True)


def table_cache(
    folder: str | None, max_gb: float, *, data: Path | None = None
) -> TableCache | None:
    """Return the cache that a configuration asks for; None where it asks for none.

    Raises
    ------
    ValueError
        If a value cannot be used; the sentence begins with its key.
    """
    if not max_gb > 0:
        raise ValueError(f"cache_max_gb must be above 0, was {max_gb}")
    if folder is None:
        return None
    if not folder.strip():
        raise ValueError(f"cache must name a folder, or be null, was {folder!r}")
    try:
        path = Path(folder).expanduser()
    except RuntimeError as error:
        raise ValueError(f"cache {folder!r} is in a home that nobody is known to have") from error
    return TableCache(path, max_bytes=max_gb * 1e9, data=data)


def table_key(data: Mapping[str, Any], *definitions: object) -> str:
    """Return the name of what is made of data by features, events and labels, in this version.

    Parameters
    ----------
    data : mapping
        What decides which bars are read, in values that JSON has.
    definitions : objects
        Told apart by their class and attributes.

    Returns
    -------
    str
        A SHA-256 in hexadecimal.
    """
    parts = {
        "code": code_digest(SOURCES),
        # Another version may round otherwise, or know other summer times.
        "libraries": [numba.__version__, np.__version__, pl.__version__],
        "data": data,
        "definitions": [[type(one).__qualname__, vars(one)] for one in definitions],
    }
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def code_digest(folder: Path) -> str:
    """Return the SHA-256 of all Python sources in a folder and below, read once per process.

    Where there are none to be read (an archive), no two processes count as the same.
    """
    paths = sorted(folder.rglob("*.py"))
    if not paths:
        return secrets.token_hex(32)
    sha = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        sha.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return sha.hexdigest()


def _is_inside(folder: Path, data: Path | None) -> bool:
    if data is None or not data.is_dir():
        return False
    return folder.resolve().is_relative_to(data.resolve())
