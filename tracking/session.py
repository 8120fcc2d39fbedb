"""What one process has told a store and the store has not taken yet: a folder, and a lock on it.

A queue holds one folder per session, named so that they sort by age. The lock is held as long as
the process lives and goes with it, so a session whose lock can be taken is one that has ended.
"""

import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from tracking.calls import Call, kind_of
from tracking.disk import reach_disk, write_whole
from tracking.failures import without_password
from tracking.kept_calls import keep_call
from tracking.store import SQLITE

SET_ASIDE = "set_aside"

_DIGEST_CHARS = 10
_ABOUT = "session.json"
_SESSION = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{8}")
_RECORD = re.compile(r"(\d{6})-[a-z_]+")
_LOCK = ".lock"
# A sweep holds the lock of a session that is just being begun for a moment at most.
_BEGIN_WAIT_S = 10.0


class QueueError(Exception):
    """Why a call must wait, or stays in the queue, that is no fault of the store; one line."""


def queue_of(uri: str, folder: str | None) -> Path:
    """Return the folder that calls to a store wait in; it need not exist.

    Parameters
    ----------
    folder
        Shared by several stores, or None for `queue/` beside an SQLite file and for
        `mlruns/queue/` with a server.
    """
    if uri.startswith(SQLITE) and folder is None:
        return Path(uri.removeprefix(SQLITE)).resolve().parent / "queue"
    address = without_password(uri)
    if uri.startswith(SQLITE):
        file = Path(uri.removeprefix(SQLITE)).resolve()
        host, address = file.stem, file.as_posix()
    else:
        parts = urlsplit(address)
        host = "-".join(str(one) for one in (parts.hostname, parts.port) if one)
    digest = hashlib.sha256(address.rstrip("/").encode()).hexdigest()[:_DIGEST_CHARS]
    readable = re.sub(r"[^\w.-]", "_", host)
    return Path(folder or "mlruns/queue").resolve() / f"{readable}-{digest}"


@dataclass(slots=True)
class Session:
    """A session of this process, or one whose process has ended.

    Attributes
    ----------
    folder
        Its records, oldest first by name.
    execution
        Id of the work that it was a part of.
    experiment
        Name of the experiment that its runs go to.
    in_hand
        Whether something of it is still on its way: then its lock is kept until the process ends.
    """

    folder: Path
    execution: str
    experiment: str
    _lock: FileLock
    in_hand: bool = False
    _last: int = 0

    @property
    def name(self) -> str:
        """The session's name, which its runs carry as a tag."""
        return self.folder.name

    @classmethod
    def begun(cls, queue: Path, *, execution: str, experiment: str) -> Self:
        """Begin a session; raises OSError where the queue cannot be written to."""
        queue.mkdir(parents=True, exist_ok=True)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(4)}"
        # Held before there is a folder: whoever finds one finds it in use.
        folder = queue / name
        lock = _taken(folder, wait_s=_BEGIN_WAIT_S)
        about = {"execution": execution, "experiment": experiment}
        try:
            folder.mkdir()
            write_whole(folder / _ABOUT, json.dumps(about))
            for above in (queue, queue.parent):
                reach_disk(above)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            _let_go(lock, gone=True)
            raise
        return cls(folder, execution, experiment, lock)

    @classmethod
    def claimed(cls, folder: Path) -> Self | None:
        """Take over a session that has ended; None where it goes on, or is being delivered.

        Raises
        ------
        ValueError
            If what it says about itself cannot be read; it is still locked by nobody.
        """
        try:
            lock = _taken(folder)
        except (Timeout, OSError):
            return None
        try:
            execution, experiment = _about(folder)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            gone = not folder.is_dir()
            _let_go(lock, gone=gone)
            if gone:
                return None
            raise ValueError(f"{folder.name}/{_ABOUT} cannot be read") from error
        return cls(folder, execution, experiment, lock)

    def append(self, call: Call) -> Path:
        """Keep a call behind all others; raises OSError where that cannot be done."""
        # Never a number again: what was set aside goes by the name it had.
        waiting = self.records()
        self._last = max(self._last, int(waiting[-1].name[:6]) if waiting else 0) + 1
        record = self.folder / f"{self._last:06}-{kind_of(call)}"
        keep_call(record, call)
        return record

    def records(self) -> list[Path]:
        """Return the folders of all calls that wait, in the order they were made in."""
        return records_in(self.folder)

    def forget(self, record: Path) -> None:
        """Remove a call that was delivered: at once, so that it is never delivered in part.

        Raises QueueError where it cannot be removed.
        """
        gone = record.with_name(f".{record.name}.gone")
        with _local_failures(self.folder):
            record.replace(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def set_aside(self, record: Path, reason: str) -> None:
        """Put a call where it is in nobody's way; raises QueueError where it stays."""
        put_aside(record, self.folder.parent, f"{self.name}-{record.name}", reason)

    def remove(self) -> None:
        """Forget a session that has nothing left to deliver."""
        shutil.rmtree(self.folder, ignore_errors=True)
        _let_go(self._lock, gone=True)

    def release(self) -> None:
        """Leave what waits to whoever delivers it."""
        if not self.in_hand:
            _let_go(self._lock, gone=False)


def session_folders(queue: Path) -> Iterator[Path]:
    """Yield the folders of all sessions, oldest first, whether their processes live or not."""
    if queue.is_dir():
        yield from sorted(
            path for path in queue.iterdir() if _SESSION.fullmatch(path.name) and path.is_dir()
        )


def execution_of(folder: Path) -> str | None:
    """Return the id of the work that a session was a part of, or None where it cannot be read."""
    try:
        return _about(folder)[0]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def records_in(folder: Path) -> list[Path]:
    """Return the folders of the calls in a session's folder, in order."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _RECORD.fullmatch(path.name))


def aside(queue: Path) -> list[Path]:
    """Return what was set aside, by name."""
    folder = queue / SET_ASIDE
    return sorted(folder.iterdir()) if folder.is_dir() else []


def put_aside(path: Path, queue: Path, name: str, reason: str) -> None:
    """Move a folder of the queue to those that nobody delivers, with the reason in a file.

    Raises
    ------
    QueueError
        If it cannot be moved.
    """
    with _local_failures(queue):
        place = _free_place(queue / SET_ASIDE, name)
        try:
            path.replace(place / path.name)
        except OSError:
            place.rmdir()
            raise
    # It is out of the way, even where the disk takes no word more.
    with suppress(OSError):
        (place / "reason.txt").write_text(f"{reason}\n", encoding="utf-8")


def sweep_locks(queue: Path) -> None:
    """Remove the locks of sessions that are gone, or were never there: their process died."""
    if not queue.is_dir():
        return
    for file in queue.glob(f"*{_LOCK}"):
        folder = file.with_name(file.name.removesuffix(_LOCK))
        if not _SESSION.fullmatch(folder.name) or folder.exists():
            continue
        with suppress(OSError):
            lock = _taken(folder)
            # One that was begun in the meantime has a folder by now.
            _let_go(lock, gone=not folder.exists())


def _free_place(folder: Path, name: str) -> Path:
    """Make a folder of that name, or of one like it where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        place = folder / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            place.mkdir()
            break
    return place


@contextmanager
def _local_failures(folder: Path) -> Iterator[None]:
    """Tell what goes wrong on our own disk from what goes wrong in the store."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise QueueError(f"{folder} cannot be written to ({reason})") from error


def _about(folder: Path) -> tuple[str, str]:
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    execution, experiment = about["execution"], about["experiment"]
    if not (isinstance(execution, str) and re.fullmatch(r"[\w-]{1,64}", execution, re.ASCII)):
        raise ValueError(f"execution was {execution!r}")
    if not (isinstance(experiment, str) and experiment):
        raise ValueError(f"experiment was {experiment!r}")
    return execution, experiment


def _taken(folder: Path, *, wait_s: float = 0.0) -> FileLock:
    lock = FileLock(f"{folder}{_LOCK}", thread_local=False)
    lock.acquire(timeout=wait_s)
    return lock


def _let_go(lock: FileLock, *, gone: bool) -> None:
    """Release a lock; its file goes with a session that is gone."""
    # Before the release, or it could be another's by then. Windows removes no file that is open,
    # but releasing a lock removes it there.
    if gone and os.name != "nt":
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
