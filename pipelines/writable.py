"""Finds out before the work, not after it, that its results could not be kept."""

import os
from pathlib import Path

from pipelines.command import ConfigError


def writable_folder(key: str, folder: Path) -> Path:
    """Return a folder, made where it is missing; raises ConfigError where it cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{key}: {folder} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"{key}: {folder} cannot be written to")
    return folder


def writable_file(key: str, path: str | None) -> Path | None:
    """Return the file that a key names, if it names one; raises ConfigError as the folder does."""
    if path is None:
        return None
    file = Path(path)
    if file.is_dir():
        raise ConfigError(f"{key}: {file} is a folder; name a file")
    writable_folder(key, file.parent)
    return file
