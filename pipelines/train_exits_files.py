"""The files of one learning: what it read, what it learnt, and its page."""

import hashlib
from pathlib import Path
from typing import Any

from selection.atomic import write_json_atomically

REJECTED = "rejected.jsonl"
SUMMARY = "summary.json"
EVIDENCE = "evidence.json"
REPORT = "report.html"
# What has looked ahead never lies where backtests look for a model.
HINDSIGHT_MODEL = "hindsight_model"


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content; raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def begin(folder: Path) -> None:
    """Take away what would speak for an earlier learning beside files of this one.

    Raises
    ------
    OSError
        If it cannot be removed.
    """
    for name in (SUMMARY, EVIDENCE, REPORT, REJECTED):
        (folder / name).unlink(missing_ok=True)


def write_json(folder: Path, name: str, content: Any) -> Path:
    """Write one of the files for machines; raises OSError if it cannot be written."""
    write_json_atomically(folder / name, content)
    return folder / name
