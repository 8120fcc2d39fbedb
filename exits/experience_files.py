"""Files of experiences, cut into the bytes of single records without holding a whole file.

A JSON array, an object with an `experiences` array, or JSON Lines; nothing is parsed here, so that
one broken record does not take others with it. Where each record has its lines to itself, lines
are what is cut; elsewhere brackets and quotes are followed.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from market.compiled import compiled

Bytes = npt.NDArray[np.uint8]
_BOM: Final = b"\xef\xbb\xbf"
_BLANKS: Final = b" \t\r\n"
_LIST_KEY: Final = b'"experiences"'
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = b"{}[]"
_QUOTE, _BACKSLASH, _COMMA, _COLON, _NEWLINE = b'"\\,:\n'


class ExperienceError(ValueError):
    """Experiences that cannot be used at all; one line naming the file and what to do."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file, as it stands there.

    Attributes
    ----------
    content : bytes
    index : int
        Its place among the file's records, from 0.
    line : int
        Line of the file that it begins in, from 1.
    end : int
        Place of the first byte behind it.
    """

    content: bytes
    index: int
    line: int
    end: int


def records(path: Path) -> Iterator[Record]:
    """Yield the records of a file in their order.

    Raises
    ------
    ExperienceError
        If the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    yield from _cut(content)
    except OSError as error:
        raise ExperienceError(f"{path}: cannot be read: {error.strerror or error}") from error


def _cut(content: mmap.mmap) -> Iterator[Record]:
    start = _first(content, len(_BOM) if content[:3] == _BOM else 0)
    wrapped = content[start : start + 1] == b"["
    if wrapped:
        start += 1
    elif content[start : start + 1] == b"{":
        array = _experiences_at(_view(content), start)
        wrapped, start = array >= 0, max(array, start)
    if _one_per_line(content, start):
        yield from _lines(content, start, wrapped=wrapped)
    else:
        yield from _elements(content, start)


def _view(content: mmap.mmap) -> Bytes:
    """Return a copy-free view; it must be gone before the file is closed."""
    return np.frombuffer(content, np.uint8)


def _first(content: mmap.mmap, at: int) -> int:
    """Return the place of the first byte from ``at`` on that is no blank."""
    while at < len(content) and content[at] in _BLANKS:
        at += 1
    return at


def _one_per_line(content: mmap.mmap, start: int) -> bool:
    """Whether each record seems to have a line to itself, by the first of them."""
    first, end = _next_element(_view(content), start)
    line_end = content.find(b"\n", first)
    if line_end < 0 or first == end:
        return False
    if end <= line_end:
        return not content[end:line_end].strip(_BLANKS + b",")
    # Many lines, or broken: then the next record begins in the next line.
    second = _first(content, line_end)
    return content[second : second + 2] == b'{"'


def _lines(content: mmap.mmap, start: int, *, wrapped: bool) -> Iterator[Record]:
    at, index = start, 0
    number = 1 + _newlines(_view(content), 0, start)
    last = False
    while at < len(content) and not last:
        end = content.find(b"\n", at)
        end = len(content) if end < 0 else end + 1
        line = content[at:end].strip(_BLANKS + b"," if wrapped else _BLANKS)
        if wrapped and (end == len(content) or line[-1:] != b"}"):
            # The list's bracket may stand in a line of its own or behind the last record.
            first, behind = _next_element(np.frombuffer(line, np.uint8), 0)
            last, line = line[behind:].lstrip()[:1] == b"]", line[first:behind]
        if line:
            yield Record(line, index, number, end)
            index += 1
        at, number = end, number + 1


def _elements(content: mmap.mmap, start: int) -> Iterator[Record]:
    at, index = start, 0
    number, counted = 1, 0
    while True:
        first, end = _next_element(_view(content), at)
        if first == end:
            return
        number, counted = number + _newlines(_view(content), counted, first), first
        yield Record(content[first:end], index, number, end)
        at, index = end, index + 1


@compiled
def _newlines(content_B: Bytes, start: int, end: int) -> int:
    count = 0
    for at in range(start, end):
        if content_B[at] == _NEWLINE:
            count += 1
    return count


@compiled
def _string_end(content_B: Bytes, at: int) -> int:
    """Return the place behind a string that begins at ``at``; an unclosed one ends with its line.

    Line breaks cannot stand in a string of JSON.
    """
    at += 1
    while at < len(content_B):
        if content_B[at] == _BACKSLASH:
            at += 1
        elif content_B[at] == _QUOTE:
            return at + 1
        elif content_B[at] == _NEWLINE:
            return at
        at += 1
    return len(content_B)


@compiled
def _next_element(content_B: Bytes, at: int) -> tuple[int, int]:
    """Return where the next element of a list, or of a row of objects, begins and ends.

    Both are the same where there is none.
    """
    n = len(content_B)
    while at < n and (content_B[at] <= 32 or content_B[at] == _COMMA):
        at += 1
    first, depth = at, 0
    while at < n:
        byte = content_B[at]
        if byte == _QUOTE:
            at = _string_end(content_B, at)
            continue
        if byte in (_OPEN, _OPEN_LIST):
            depth += 1
        elif byte in (_CLOSE, _CLOSE_LIST):
            if depth == 0:
                return first, at
            depth -= 1
            if depth == 0:
                return first, at + 1
        elif depth == 0 and byte == _COMMA:
            return first, at
        at += 1
    while at > first and content_B[at - 1] <= 32:
        at -= 1
    return first, at


@compiled
def _experiences_at(content_B: Bytes, at: int) -> int:
    """Return the place behind the bracket of an object's list `experiences`; -1 if it has none."""
    n, depth = len(content_B), 0
    while at < n:
        byte = content_B[at]
        if byte == _QUOTE:
            end = _string_end(content_B, at)
            if depth == 1 and end - at == len(_LIST_KEY):
                same = True
                for place in range(len(_LIST_KEY)):
                    same = same and content_B[at + place] == _LIST_KEY[place]
                behind = end
                while behind < n and (content_B[behind] <= 32 or content_B[behind] == _COLON):
                    behind += 1
                if same and behind < n and content_B[behind] == _OPEN_LIST:
                    return behind + 1
            at = end
            continue
        if byte in (_OPEN, _OPEN_LIST):
            depth += 1
        elif byte in (_CLOSE, _CLOSE_LIST):
            depth -= 1
            if depth == 0:
                return -1
        at += 1
    return -1
