"""The file of the embedded bus: its tables, how it is opened, and what is said if it cannot be."""

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from selection.atomic import sync_folder

# Positions grow over all streams and are not used again after a trim.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, fields TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_of_stream ON events (stream, position);
CREATE TABLE IF NOT EXISTS groups (
    stream TEXT NOT NULL, name TEXT NOT NULL, delivered INTEGER NOT NULL,
    PRIMARY KEY (stream, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending (
    stream TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL, consumer TEXT NOT NULL,
    delivered_at REAL NOT NULL, deliveries INTEGER NOT NULL,
    PRIMARY KEY (stream, name, position)) WITHOUT ROWID;
"""
_VERSION = 1
# "ASYB": what SQLite keeps in a file for programs to know their own by.
_APPLICATION = 0x41535942
_MARKS = """
SELECT (SELECT application_id FROM pragma_application_id),
       (SELECT user_version FROM pragma_user_version), (SELECT COUNT(*) FROM sqlite_master)
"""
_EMPTY = (0, 0, 0)
_PAUSE_S = 0.05
_ADVICE = {
    "locked": "another process writes for longer than events_bus.timeout_s",
    "not a database": "set events_bus.path to another file",
    "malformed": "put a copy in its place, or set events_bus.path to another file",
    "unable to open": "give the rights to its folder, or set events_bus.path to another file",
    "readonly": "give the rights to the file and its folder",
    "full": "make room on its disk",
    "disk I/O": "look at its disk, and whether it has room",
    "Permission": "give the rights to its folder, or set events_bus.path to another file",
    "another program": "set events_bus.path to another file",
    "file lock": "another process has been making the file for longer than events_bus.timeout_s",
}


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A connection, and which file it is to: a path may come to name another one.

    Attributes
    ----------
    identity : tuple of int
        Device and inode.
    """

    path: Path
    store: sqlite3.Connection
    identity: tuple[int, int]

    def check_named(self) -> None:
        """See that the path still names the file that is open; raise FileNotFoundError if not."""
        try:
            named = _identity(self.path)
        except FileNotFoundError:
            named = None
        if named != self.identity:
            found = "replaced while in use; the next call uses the new one"
            if named is None:
                found = "moved or deleted while in use; the next call makes a new one"
            raise FileNotFoundError(f"the file was {found}")


def opened(path: Path, timeout_s: float) -> OpenedFile:
    """Open the file, or make it with its folder; every commit reaches the disk.

    Raises
    ------
    OSError, sqlite3.Error
        If it cannot be, or is no file of this bus; see `in_words`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return _connected(path, timeout_s)
    with FileLock(path.with_name(f".{path.name}.lock"), timeout=timeout_s):
        if not path.exists():
            # Whoever still has a deleted file open shares these with every file of its name.
            for ending in ("-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
            path.touch()
        found = _connected(path, timeout_s)
        # A power cut must not take the file's name back.
        sync_folder(path.parent)
        return found


def _connected(path: Path, timeout_s: float) -> OpenedFile:
    # Before it is opened: replaced in between, it is found not to be the one named.
    identity = _identity(path)
    store = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        # Where two open a new file at once, one is refused WAL without a wait.
        give_up = time.monotonic() + timeout_s
        while not _prepared(store, last=time.monotonic() > give_up):
            time.sleep(_PAUSE_S)
        return OpenedFile(path, store, identity)
    except BaseException:
        store.close()
        raise


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _prepared(store: sqlite3.Connection, *, last: bool) -> bool:
    """Make settings and tables; False if another process was in the way and it is not the last."""
    try:
        # Looked at in one statement, and before anything is changed: it may be another program's.
        found = store.execute(_MARKS).fetchone()
        application, version, _ = found
        if application != _APPLICATION and found != _EMPTY:
            raise sqlite3.DatabaseError("the file is a database of another program")
        if version > _VERSION:
            raise sqlite3.DatabaseError(f"a later Assay wrote it, its version is {version}")
        store.execute("PRAGMA journal_mode=WAL")
        store.execute("PRAGMA synchronous=FULL")
        if found == _EMPTY:
            marks = f"PRAGMA application_id={_APPLICATION}; PRAGMA user_version={_VERSION};"
            store.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {marks} COMMIT;")
    except sqlite3.OperationalError as error:
        if last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def in_words(error: Exception) -> str:
    """Say what happened and what to do, on one line."""
    what = " ".join(str(error).split())
    if isinstance(error, OSError):
        what = error.strerror or what
    for sign, advice in _ADVICE.items():
        if sign in what:
            return f"{what}; {advice}"
    return what
