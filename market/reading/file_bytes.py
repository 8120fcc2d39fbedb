"""The bytes of a file, where it is one."""

import stat
from pathlib import Path

from market.bars import DataError
from market.reading.safe_names import printable


def file_bytes(path: Path) -> bytes:
    """Return what a file holds.

    Raises
    ------
    DataError
        If it is a folder, or a pipe, a socket or a device (reading one might never end), or cannot
        be read.
    """
    file = printable(path.name)
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise DataError(f"{file}: is a folder, expected a file")
        if not stat.S_ISREG(kind):
            raise DataError(f"{file}: is not a file")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error
