"""Files that a reader sees whole or not at all."""

import errno
import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from selection.json_safe import to_json_safe

# What a disk says that takes no more: whatever comes next could not be kept either.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO})


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write a file so that no reader ever meets half of it; see `write_parts_atomically`."""
    write_parts_atomically(path, (content,))


def write_parts_atomically(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file part by part, so that no reader ever meets half of it.

    The parts go to a temporary file in the same folder (made if missing), reach the disk, and only
    then take the name. If anything fails, the old file stays and the temporary one goes.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.errno is None:
            raise
        # What a full disk says names no file, and a temporary one is nothing to look for.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """See the names in a folder reach the disk, where the system can be asked for that.

    Without it a power cut may take back the name that a file was just given, though never half of
    the file.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def write_json_atomically(path: Path, obj: object) -> None:
    """Write an object as indented JSON, whole or not at all; `to_json_safe` says what is kept.

    Warns
    -----
    UnserialisableFieldWarning
        Once, naming the fields that were left out.
    """
    text = json.dumps(to_json_safe(obj), indent=2, allow_nan=False)
    write_bytes_atomically(path, f"{text}\n".encode())
