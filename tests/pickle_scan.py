"""Finds pickles wherever they hide: in files of any name, in archives, in databases, in text.

A pickle runs code when it is loaded. What decides here is no name but whether `pickletools` can
read it as one; names and MLflow's own descriptions are looked at as well.
"""

import base64
import binascii
import bz2
import gzip
import io
import lzma
import pickletools
import re
import sqlite3
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

OUR_LOADER = "models.store"
NAMES = re.compile(r"\.(pkl|pickle|joblib|dill|cloudpickle|pt|pth|ckpt|sav|npy|npz)$")
HARMLESS_NAMES = re.compile(r"\.(npy|npz)$")
HEADER = re.compile(rb"\x80[\x02-\x05]")
# What begins a pickle that has no header and calls something: protocols 0 and 1.
NAMED = re.compile(rb"[(\])}lN]*c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n")
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
CALLS = {"REDUCE", "OBJ", "INST", "BUILD", "NEWOBJ", "NEWOBJ_EX"}
TEXTS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "BINGET", "LONG_BINGET"}
UNPACKERS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"x\x01": zlib.decompress,
    b"x^": zlib.decompress,
    b"x\x9c": zlib.decompress,
    b"x\xda": zlib.decompress,
}
# What `pickletools` makes of other bytes.
NO_PICKLE = (ValueError, LookupError, TypeError, ArithmeticError, AttributeError, struct.error)
# Nothing else goes on like a pickle for so long.
MOST_OPERATIONS = 10_000
DEEPEST = 4


def pickles_in(folder: Path) -> list[str]:
    """Return a line for each pickle below a folder: where it lies and how it was recognised."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [
        f"{path.relative_to(folder)}{place}: {finding}"
        for path in files
        for place, finding in _in_file(path)
    ]


def findings_in(content: bytes, name: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield place and finding for each pickle in bytes, and in what they are an archive of."""
    if NAMES.search(name) and not HARMLESS_NAMES.search(name):
        yield "", f"is named {Path(name).name}"
    if name.rpartition("/")[2] == "MLmodel":
        yield from (("", finding) for finding in _foreign_flavours(content))
    if content.startswith(b"\x93NUMPY") and b"|O" in content[:256]:
        yield "", "a NumPy array of objects"
    finding = _pickle_at_start(content) or _pickle_inside(content)
    if finding:
        yield "", finding
    if depth < DEEPEST:
        for place, inner in _unpacked(content):
            for deeper, found in findings_in(inner, place, depth + 1):
                yield f" > {place}{deeper}", found


def _in_file(path: Path) -> Iterator[tuple[str, str]]:
    content = path.read_bytes()
    yield from findings_in(content, path.as_posix())
    if content.startswith(b"SQLite format 3\0"):
        for place, value in _cells(path):
            for deeper, found in findings_in(value, "", 1):
                yield f" > {place}{deeper}", found


def _unpacked(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of what lies in an archive, or stands in a text as base64."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from ((name, archive.read(name)) for name in archive.namelist())
    for magic, unpack in UNPACKERS.items():
        if content.startswith(magic):
            try:
                yield "unpacked", unpack(content)
            except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError):
                continue
    for match in BASE64.finditer(content):
        text = match.group().replace(b"-", b"+").replace(b"_", b"/")
        try:
            inner = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
        except binascii.Error:
            continue
        # Half of all words are base64 of something: only what has a header is looked at.
        if HEADER.match(inner):
            yield f"base64 at {match.start()}", inner


def _cells(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every text and every blob of a database."""
    with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as base:
        base.text_factory = bytes
        tables = base.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (table,) in tables:
            quoted = table.decode().replace('"', '""')
            for row in base.execute(f'select * from "{quoted}"'):  # noqa: S608
                for column, value in enumerate(row):
                    if isinstance(value, bytes) and value:
                        yield f"{table.decode()}[{column}]", value
    base.close()


def _pickle_at_start(content: bytes) -> str | None:
    """Tell whether all of the bytes, or all up to a library's own raw data, are a pickle."""
    operations, whole = _operations(content)
    header = HEADER.match(content) is not None
    if whole and (header or operations):
        return f"a pickle of protocol {_protocol(content)}"
    if header and _names_something(operations):
        return f"the beginning of a pickle of protocol {_protocol(content)}"
    return None


def _pickle_inside(content: bytes) -> str | None:
    """Tell whether a pickle stands somewhere in the bytes."""
    for match in HEADER.finditer(content, 1):
        operations, whole = _operations(content[match.start() :], to_end=False)
        # A few bytes of a table of weights are a pickle by chance.
        if (whole and len(operations) > 6) or _names_something(operations):
            return f"a pickle of protocol {content[match.start() + 1]} at byte {match.start()}"
    for match in NAMED.finditer(content):
        operations, whole = _operations(content[match.start() :], to_end=False)
        if whole and CALLS & {name for name, _ in operations}:
            return f"a pickle of protocol 0 or 1 at byte {match.start()}"
    return None


def _operations(content: bytes, *, to_end: bool = True) -> tuple[list[tuple[str, Any]], bool]:
    """Return the operations of a pickle, and whether it ends as one, where the bytes do too."""
    found: list[tuple[str, Any]] = []
    stream = io.BytesIO(content)
    with warnings.catch_warnings():
        # Of what is none, some looks like text with odd escapes.
        warnings.simplefilter("ignore")
        try:
            for operation, argument, _ in pickletools.genops(stream):
                found.append((operation.name, argument))
                if len(found) == MOST_OPERATIONS:
                    return found, True
            pickletools.dis(content[: stream.tell()], io.StringIO())
        except NO_PICKLE:
            return found, False
    return found, not to_end or not content[stream.tell() :].strip()


def _names_something(operations: list[tuple[str, Any]]) -> bool:
    """Tell whether a function or class is named, as nothing else would by chance."""
    for n, (name, argument) in enumerate(operations):
        if name in ("GLOBAL", "INST"):
            return re.fullmatch(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*", str(argument)) is not None
        before = [one for one, _ in operations[:n] if one not in ("MEMOIZE", "BINPUT", "PUT")]
        if name == "STACK_GLOBAL" and len(before) >= 2 and set(before[-2:]) <= TEXTS:
            return True
    return False


def _protocol(content: bytes) -> str:
    return str(content[1]) if HEADER.match(content) else "0 or 1"


def _foreign_flavours(content: bytes) -> Iterator[str]:
    """Yield what an MLmodel says that would be loaded otherwise than by our loader."""
    flavours = yaml.safe_load(content).get("flavors", {})
    for name, flavour in flavours.items():
        loader = flavour.get("loader_module")
        if name != "python_function" or loader != OUR_LOADER or "python_model" in flavour:
            yield f"flavour {name} is loaded by {loader}, not by {OUR_LOADER}"
