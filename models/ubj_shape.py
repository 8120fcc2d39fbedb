"""Looks over a UBJSON file before XGBoost does, which follows it as deep as it goes, and crashes.

Of the format (https://ubjson.org, draft 12) it knows what XGBoost writes: lengths are int64.
"""

from typing import Any

import numpy as np

from models.base import ModelError

MOST_LEVELS = 32
# Bytes of a value by its marker.
_SIZES = dict(zip(b"ZTFiUCIldLD", (0, 0, 0, 1, 1, 1, 2, 4, 4, 8, 8), strict=True))
_CONSTANTS = {ord("Z"): None, ord("T"): True, ord("F"): False}
# NumPy's name of each, the most significant byte first.
_TYPES = dict(zip(b"iUCIldLD", ("i1", "u1", "u1", ">i2", ">i4", ">f4", ">i8", ">f8"), strict=True))
_INT64_BYTES = 8
# Negative, as counts are not.
_OBJECT, _ARRAY = -ord("}"), -ord("]")
_ENDS = (_OBJECT, _ARRAY)


def check_ubj(content: bytes) -> None:
    """Refuse what is nested too deeply, claims more than it holds or is no UBJSON of XGBoost.

    Raises
    ------
    ModelError
        One line with the place in the file.
    """
    at = 0
    # Of what is open, the innermost last: what ends it, or how many values are still to come.
    still_open: list[int] = []
    while True:
        marker = content[at] if at < len(content) else None
        if still_open and still_open[-1] in _ENDS and marker == -still_open[-1]:
            still_open.pop()
            at += 1
        else:
            if still_open and still_open[-1] == _OBJECT:
                at = _past(content, at)
            elif still_open and still_open[-1] != _ARRAY:
                still_open[-1] -= 1
            at, inner = _past_value(content, at)
            still_open += [] if inner is None else [inner]
        while still_open and still_open[-1] == 0:
            still_open.pop()
        if len(still_open) > MOST_LEVELS:
            raise ModelError(f"is nested more than {MOST_LEVELS} levels deep at byte {at}")
        if not still_open:
            return


def read_ubj(content: bytes) -> Any:
    """Return what a file holds: dicts, lists, texts, numbers, and arrays of numbers of one kind.

    Raises
    ------
    ModelError
        As `check_ubj`, and where a key stands in an object twice.
    """
    check_ubj(content)
    return _value(content, 0)[0]


def _value(content: bytes, at: int) -> tuple[Any, int]:
    """Return a value that has been checked, and where it ends."""
    end, inner = _past_value(content, at)
    marker = content[at]
    if inner is not None:
        return _object(content, end) if inner == _OBJECT else _list(content, end, inner)
    if marker in _CONSTANTS:
        return _CONSTANTS[marker], end
    if marker == ord("S"):
        return _text(content, at + 1, end), end
    if marker == ord("["):
        start, count = _length(content, at + 4)
        return np.frombuffer(content, _TYPES[content[at + 2]], count, start), end
    return np.frombuffer(content, _TYPES[marker], 1, at + 1)[0].item(), end


def _object(content: bytes, at: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while content[at] != -_OBJECT:
        end = _past(content, at)
        key = _text(content, at, end)
        if key in found:
            raise ModelError(f"holds a key twice at byte {at}")
        found[key], at = _value(content, end)
    return found, at + 1


def _list(content: bytes, at: int, count: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while len(found) != count and not (count == _ARRAY and content[at] == -_ARRAY):
        value, at = _value(content, at)
        found.append(value)
    return found, at + (count == _ARRAY)


def _text(content: bytes, at: int, end: int) -> str:
    start, _ = _length(content, at)
    return content[start:end].decode("utf-8", "replace")


def _past_value(content: bytes, at: int) -> tuple[int, int | None]:
    """Return where a value ends or, of one that holds others, begins; and what will end it."""
    if at >= len(content):
        raise ModelError(f"ends at byte {at}, in the middle of a value")
    marker = content[at]
    if marker in _SIZES:
        return _within(content, at + 1 + _SIZES[marker]), None
    if marker == ord("S"):
        return _past(content, at + 1), None
    if marker == ord("{"):
        return at + 1, _OBJECT
    if marker != ord("["):
        raise ModelError(f"holds something unknown at byte {at}")
    if content[at + 1 : at + 2] == b"$":
        size = _SIZES.get(content[at + 2] if at + 2 < len(content) else 0)
        if not size or content[at + 3 : at + 4] != b"#":
            raise ModelError(f"holds an array of an unknown kind at byte {at}")
        return _past(content, at + 4, size), None
    if content[at + 1 : at + 2] == b"#":
        begins, count = _length(content, at + 2)
        # Every value has a byte at least.
        _within(content, begins + count)
        return begins, count
    return at + 1, _ARRAY


def _past(content: bytes, at: int, size: int = 1) -> int:
    """Return where so many values end as a length at a place says."""
    start, count = _length(content, at)
    return _within(content, start + count * size)


def _length(content: bytes, at: int) -> tuple[int, int]:
    """Return what follows a length, and the length."""
    if content[at : at + 1] != b"L":
        raise ModelError(f"holds no length at byte {at}")
    start = _within(content, at + 1 + _INT64_BYTES)
    count = int.from_bytes(content[at + 1 : start], "big", signed=True)
    if count < 0:
        raise ModelError(f"holds a length of {count} at byte {at}")
    return start, count


def _within(content: bytes, end: int) -> int:
    if end > len(content):
        raise ModelError(f"has {len(content)} bytes and claims to have {end}")
    return end
