"""The one place where the live manifest is replaced: kept, signed, announced, swapped."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from selection.atomic import sync_folder, write_bytes_atomically
from selection.deploy_history import Deployment, recorded_swap
from selection.signing import signature_name

HISTORY = "history"
_KEPT = re.compile(r"(\d{8}T\d{6}Z)-([0-9a-f]{12})\.json")
_LOCK_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Kept:
    """An earlier manifest in the folder ``history``.

    Attributes
    ----------
    path : Path
    moment : str
        When it was written, UTC, as its name says: ``20240102T120000Z``.
    sha256 : str
        The first digits of its digest, as its name says.
    """

    path: Path
    moment: str
    sha256: str


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold the live manifest against other writers; raises TimeoutError after 30 seconds.

    The folder is made if missing. The lock dies with its process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock"), timeout=_LOCK_TIMEOUT_S):
        yield


def put_live(path: Path, content: bytes, planned: Deployment, signature: bytes | None) -> None:
    """Make a manifest the live one; to be called inside `writing`.

    The one before is kept in ``history/<its time>-<first 12 digits of its SHA-256>.json``, where
    nothing is overwritten. Killed anywhere, either manifest is live, whole, with its signature, and
    the history tells which.

    Raises
    ------
    OSError
        If a file cannot be written; the old manifest is still in place then.
    """
    if path.exists():
        _keep(path, path.read_bytes())
    if signature is not None:
        place = path.parent / signature_name(content)
        write_bytes_atomically(place, signature)
        sync_folder(place.parent)

    def swap() -> None:
        write_bytes_atomically(path, content)
        # From here on it is live: what a disk says now is no reason to call it refused.
        with suppress(OSError):
            sync_folder(path.parent)

    recorded_swap(path, planned, swap)


def kept_manifests(path: Path) -> list[Kept]:
    """Return the earlier manifests beside a live one, the oldest first; others' files are left."""
    files = sorted((path.parent / HISTORY).glob("*.json"))
    named = ((file, _KEPT.fullmatch(file.name)) for file in files)
    return [Kept(file, name[1], name[2]) for file, name in named if name is not None]


def as_utc(moment: datetime) -> datetime:
    """Return a moment in UTC, which it is taken to be in already if it has no zone."""
    naive = moment.utcoffset() is None
    return moment.replace(tzinfo=UTC) if naive else moment.astimezone(UTC)


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _keep(path: Path, content: bytes) -> None:
    name = f"{_time_of(path, content):%Y%m%dT%H%M%SZ}-{sha256_of(content)[:12]}"
    kept = path.parent / HISTORY / f"{name}.json"
    if not kept.exists():  # the name holds the digest: what is there is this very content
        write_bytes_atomically(kept, content)
        sync_folder(kept.parent)


def _time_of(path: Path, content: bytes) -> datetime:
    """Return when a manifest was written: what it says or, if it cannot be read, the file's."""
    try:
        said = datetime.fromisoformat(json.loads(content)["timestamp"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return as_utc(said)
