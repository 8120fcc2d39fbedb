"""Opens files that somebody else may have put in place: plain ones, reached through no link.

Nothing is asked of a path as a whole, as what it leads to may change between two questions. Every
folder on the way is opened in the one before it, and all questions go to what was opened.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

# Elsewhere (Windows) a folder cannot be opened to look into: names are looked at one by one.
STEP_BY_STEP = hasattr(os, "O_NOFOLLOW") and os.open in os.supports_dir_fd
# A pipe without a writer would otherwise hold its reader up for ever.
_AT_ONCE: int = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_TEXT: int = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
_A_LINK = "is a link, expected the file itself"
_BEHIND_A_LINK = "lies behind a link, expected a folder itself"


class NotPlainError(ValueError):
    """A file that is not opened, and why: the rest of a sentence that begins with its name."""


class NotThereError(NotPlainError):
    """There is no file of that name."""


def read_plain(folder: Path, name: str, *, most_bytes: int) -> bytes:
    """Return the content of a file below a folder, which may itself be reached by a link.

    Raises
    ------
    NotPlainError
        If it is missing, is or lies behind a link, is no plain file, cannot be read or is larger
        than ``most_bytes``.
    """
    with open_plain(folder, name) as file:
        found = size_of(file)
        if found > most_bytes:
            raise NotPlainError(f"has {found} bytes, more than the {most_bytes} that are read")
        return read_all(file, found)


def open_plain(folder: Path, name: str) -> BinaryIO:
    """Open a file below a folder; to be closed by the caller.

    Parameters
    ----------
    folder : Path
        May itself be reached by a link.
    name : str
        POSIX path from there, without ``..``.

    Raises
    ------
    NotPlainError
        If it is missing, is or lies behind a link, is no plain file or cannot be opened.
    """
    *above, last = PurePosixPath(name).parts or ("",)
    if ".." in (*above, last) or name.startswith("/") or "\0" in name:
        raise NotPlainError("leads out of its folder")
    try:
        if STEP_BY_STEP:
            return _opened_by_step(folder, above, last)
        return _opened_by_name(folder, above, last)
    except FileNotFoundError as error:
        raise NotThereError("is missing") from error
    except UnicodeEncodeError as error:
        raise NotPlainError("cannot be the name of a file") from error
    except OSError as error:
        # What was looked at has been replaced by a link before it was opened.
        raced = error.errno in (errno.ELOOP, errno.EMLINK)
        finding = _A_LINK if raced else f"cannot be read: {error.strerror}"
        raise NotPlainError(finding) from error


def size_of(file: BinaryIO) -> int:
    """Return the bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def read_all(file: BinaryIO, n_bytes: int) -> bytes:
    """Return the content of an open file that has so many bytes, and no more of them."""
    try:
        parts = list(_parts(file, n_bytes))
    except OSError as error:
        raise NotPlainError(f"cannot be read: {error.strerror}") from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _parts(file: BinaryIO, n_bytes: int) -> Iterator[bytes]:
    """Yield what each call to the system gives: a network's disk may give less than was asked."""
    while n_bytes > 0 and (part := file.read(n_bytes)):
        n_bytes -= len(part)
        yield part


def _opened_by_step(folder: Path, above: list[str], last: str) -> BinaryIO:
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _AT_ONCE)
    try:
        for part in above:
            _check_kind(os.stat(part, dir_fd=at, follow_symlinks=False), folder=True)
            inner = os.open(
                part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | _AT_ONCE, dir_fd=at
            )
            os.close(at)
            at = inner
        # Looked at before it is opened too: opening some devices is already an act.
        _check_kind(os.stat(last, dir_fd=at, follow_symlinks=False), folder=False)
        opened = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | _AT_ONCE, dir_fd=at)
    finally:
        os.close(at)
    return _as_file(opened)


def _opened_by_name(folder: Path, above: list[str], last: str) -> BinaryIO:
    path = Path(os.path.realpath(folder, strict=True))
    for part in above:
        path /= part
        _check_kind(path.lstat(), folder=True)
    path /= last
    seen = path.lstat()
    _check_kind(seen, folder=False)
    opened = os.open(path, os.O_RDONLY | _AT_ONCE | _NO_TEXT)
    if not os.path.samestat(seen, os.fstat(opened)):
        os.close(opened)
        raise NotPlainError("was replaced while it was opened")
    return _as_file(opened)


def _as_file(opened: int) -> BinaryIO:
    try:
        _check_kind(os.fstat(opened), folder=False)
    except NotPlainError:
        os.close(opened)
        raise
    return os.fdopen(opened, "rb", buffering=0)


def _check_kind(found: os.stat_result, *, folder: bool) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise NotPlainError(_BEHIND_A_LINK if folder else _A_LINK)
    if folder and not stat.S_ISDIR(found.st_mode):
        raise NotPlainError("lies in what is no folder")
    if not folder and not stat.S_ISREG(found.st_mode):
        raise NotPlainError("is not a plain file")
