"""Sees that what was written outlives a power cut."""

import hashlib
import os
import secrets
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all, and see it reach the disk.

    Raises
    ------
    OSError
        If its folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_text(text, encoding="utf-8")
        reach_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    reach_disk(path.parent)


def reach_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    if not path.is_dir():
        # Windows wants a file that may be written to.
        with path.open("r+b") as file:
            os.fsync(file.fileno())
        return
    # And it opens no folders.
    if os.name == "nt":
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def digest(file: Path) -> str | None:
    """Return the SHA-256 of a file in hexadecimal, or None where it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None
