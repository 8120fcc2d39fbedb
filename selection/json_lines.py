"""Files that only ever grow by whole lines of JSON, whatever happens to their writers.

A line that a crash cut short is no line: readers leave it out, and the next writer ends it with a
mark that says so.
"""

import json
import os
from pathlib import Path

from selection.atomic import sync_folder
from selection.json_safe import to_json_safe


def append_line(path: Path, document: object, *, cut_short: bytes) -> None:
    """Write one line and see it reach the disk; to be called under a lock.

    Parameters
    ----------
    path : Path
        Made, with its folder, where it is missing.
    document : object
        `to_json_safe` says what is kept of it.
    cut_short : bytes
        Mark at the end of a line that is none.

    Raises
    ------
    OSError
        If the file cannot be read or written.
    """
    is_new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(to_json_safe(document), allow_nan=False).encode()
    before = b"" if is_new else path.read_bytes()
    with path.open("ab") as file:
        file.write(_end_of_last(before, cut_short) + line + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)


def whole_lines(content: bytes, *, cut_short: bytes) -> list[tuple[int, bytes]]:
    """Return the lines of a file that were written to their end, with their numbers from 1 on.

    A last line that is whole but for its end, as some editors leave it, is one of them.
    """
    *ended, last = content.split(b"\n")
    lines = [*ended, b"" if _is_cut_short(last) else last]
    return [
        (number, line)
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.rstrip().endswith(cut_short)
    ]


def _end_of_last(content: bytes, cut_short: bytes) -> bytes:
    """Return what must come before a new line: nothing, if the last one has its end."""
    last = content.rpartition(b"\n")[2]
    if _is_cut_short(last):
        return cut_short + b"\n"
    return b"\n" if last else b""


def _is_cut_short(last: bytes) -> bool:
    """Tell whether the text after the last line end is the beginning of a line, but not all of it.

    The beginning of a JSON object is never JSON itself.
    """
    if not last.strip():
        return False
    try:
        json.loads(last.decode())
    except (ValueError, RecursionError):
        return True
    return False
