"""What is refused is kept whole: on ``trade.rejected`` and in a file, with the reason."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from live.bus import Delivery
from live.line_files import LineFiles

NAME: Final = "rejected"


def as_text(value: bytes) -> str | dict[str, str]:
    """Return bytes as JSON can hold them: text, or base64 where they are no UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def rejection(delivery: Delivery, *, reason: str, kind: str) -> dict[str, str]:
    """Return a refused event as ``trade.rejected`` carries it; the same for every delivery of it.

    ``fields`` is a JSON list of name and value of each field, as `as_text`.
    """
    pairs = [[as_text(name), as_text(value)] for name, value in delivery.fields.items()]
    return {
        "original_stream": delivery.stream,
        "original_id": delivery.id,
        "reason": reason,
        "kind": kind,
        "fields": json.dumps(pairs),
    }


def original_fields(rejected: Mapping[str, str]) -> dict[bytes, bytes]:
    """Return the fields of the event that was refused, byte for byte."""
    return {_as_bytes(name): _as_bytes(value) for name, value in json.loads(rejected["fields"])}


class RejectedLog:
    """``rejected.jsonl``: the refused events of one recorder.

    Parameters
    ----------
    folder : Path
    rotate_bytes : int
        Size from which a file is written no further.

    Raises
    ------
    InUseError, OSError
        As `LineFiles`.
    """

    def __init__(self, folder: Path, *, rotate_bytes: int) -> None:
        self._files = LineFiles(folder, NAME, rotate_bytes=rotate_bytes)
        self._known = {_key(line) for _, line in self._files.lines()}

    def __len__(self) -> int:
        return len(self._known)

    @property
    def path(self) -> Path:
        """Return the file that is written now."""
        return self._files.path

    def new_ones(self, rejections: Sequence[dict[str, str]]) -> list[dict[str, str]]:
        """Return those that are not kept yet."""
        return [one for one in rejections if _key(one) not in self._known]

    def append(self, rejections: Sequence[dict[str, str]]) -> None:
        """Keep refused events; they are on disk when it returns. Raises OSError."""
        if rejections:
            self._files.append([json.dumps(one).encode() for one in rejections])
            self._known.update(_key(one) for one in rejections)

    def close(self) -> None:
        """Let another process write it."""
        self._files.close()


def _key(rejected: Mapping[str, Any]) -> bytes:
    # Ids begin anew where a bus is made anew: the content tells such events apart.
    named = [rejected.get(name) for name in ("original_stream", "original_id", "fields")]
    return hashlib.sha256(json.dumps(named).encode()).digest()


def _as_bytes(value: str | Mapping[str, str]) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])
