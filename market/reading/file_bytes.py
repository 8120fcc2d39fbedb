"""The bytes of a file, where it is one."""

import os
import stat
from pathlib import Path

from market.bars import DataError
from market.reading.safe_names import clipped

# No price file is longer, and what is read takes several times as much memory.
MOST_BYTES = 4 * 2**30
NOT_FILES = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# A pipe that nobody writes to is opened without waiting for a writer.
WITHOUT_WAITING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class NotAFileError(DataError):
    """A folder, a pipe, a socket or a device, or more than can be read."""


def file_bytes(path: Path) -> bytes:
    """Return what a file holds.

    Raises
    ------
    DataError
        If it is a folder, or a pipe, a socket or a device (reading one might never end), has more
        than `MOST_BYTES`, or cannot be read.
    """
    try:
        return regular_bytes(path)
    except FileNotFoundError as error:
        raise DataError(_not_there(path)) from error
    except OSError as error:
        raise DataError(
            f"{clipped(path.name)}: cannot be read: {error.strerror}; {_advice(path, error)}"
        ) from error


def regular_bytes(path: Path) -> bytes:
    """Return what a file holds, as `file_bytes` does, but with the errors of the system as such.

    Raises
    ------
    NotAFileError
        If it is anything but a file, or has too many bytes.
    OSError
        If it is not there, or cannot be read.
    """
    # Looked at before it is opened, for to open a device may do something; and once more, for
    # what is opened may be something else by then.
    _check_kind(path, path.stat())
    opened = os.open(path, WITHOUT_WAITING)
    with os.fdopen(opened, "rb") as file:
        _check_kind(path, os.fstat(opened))
        content = file.read(MOST_BYTES + 1)
    _check_size(path, len(content))
    return content


def _check_kind(path: Path, found: os.stat_result) -> None:
    name, kind = clipped(path.name), stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        raise NotAFileError(
            f"{name}: is a folder, expected a file; take it away, or name it as data.dir"
        )
    if kind != stat.S_IFREG:
        what = NOT_FILES.get(kind, "something else")
        raise NotAFileError(f"{name}: is {what}, expected a file; write its content into one")
    _check_size(path, found.st_size)


def _check_size(path: Path, n_bytes: int) -> None:
    if n_bytes > MOST_BYTES:
        raise NotAFileError(
            f"{clipped(path.name)}: has more than {MOST_BYTES / 2**30:g} GiB; split it by symbol "
            "or by years"
        )


def _not_there(path: Path) -> str:
    name = clipped(path.name)
    if not os.path.islink(path):  # noqa: PTH114 - which raises nothing
        return f"{name}: cannot be read: no such file"
    return f"{name}: is a link to {clipped(str(path.readlink()))}, which is not there; take it away"


def _advice(path: Path, error: OSError) -> str:
    if os.path.islink(path):  # noqa: PTH114 - which raises nothing
        return f"it is a link to {clipped(str(path.readlink()))}; take it away"
    if isinstance(error, PermissionError):
        return "give yourself the right to read it"
    return "look at its disk"
