"""Keeps one call in a folder of its own: JSON, arrays, and copies of the files it speaks of.

Nothing that is read back can run: JSON is checked against the types of the records, arrays are
read without pickle, and each file must be the one that was written.
"""

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tracking.calls import CALLS, Call, kind_of, with_paths
from tracking.disk import reach_disk
from tracking.records import ModelRecord

_RECORD = "record.json"
_EXAMPLE = "input_example.npy"
_FILES = "files"
_MOST_JSON_BYTES = 256 * 2**20


class MalformedRecordError(ValueError):
    """A kept call that was changed or cut short; the message is one line."""


def keep_call(folder: Path, call: Call) -> None:
    """Write a call to a folder that is seen whole or not at all.

    Parameters
    ----------
    folder
        It must not exist; its parent must.

    Raises
    ------
    OSError
        If a file that the call speaks of cannot be copied, or the folder not be written.
    """
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        temporary.mkdir()
        _write(temporary, call)
        for path in (*_paths(temporary), temporary):
            reach_disk(path)
        temporary.replace(folder)
        reach_disk(folder.parent)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def kept_call(folder: Path) -> Call:
    """Read a call back; its files are those inside the folder.

    Raises
    ------
    MalformedRecordError
        If anything in the folder is not as it was written.
    """
    try:
        return _read(folder)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, AttributeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = ": ".join(lines[:3]) or type(error).__name__
        raise MalformedRecordError(f"{folder.name}: {reason[:300]}") from error


def _write(folder: Path, call: Call) -> None:
    kept = with_paths(call, lambda path: _copied(path, folder))
    if isinstance(kept, ModelRecord) and kept.input_example is not None:
        np.save(folder / _EXAMPLE, kept.input_example, allow_pickle=False)
        kept = replace(kept, input_example=None)
    digests = {path.relative_to(folder).as_posix(): _digest(path) for path in _files(folder)}
    document = {
        "kind": kind_of(call),
        "files": digests,
        "call": _adapter(type(kept)).dump_python((kept,), mode="json")[0],
    }
    (folder / _RECORD).write_text(json.dumps(document, indent=1), encoding="utf-8")


def _read(folder: Path) -> Call:
    if any(path.is_symlink() for path in (folder, *_paths(folder))):
        raise ValueError("holds a link, which no record does")
    file = folder / _RECORD
    if file.stat().st_size > _MOST_JSON_BYTES:
        raise ValueError(f"{_RECORD} is larger than {_MOST_JSON_BYTES} bytes")
    document = json.loads(file.read_text(encoding="utf-8"))
    found = {path.relative_to(folder).as_posix(): path for path in _files(folder) if path != file}
    if set(found) != set(document["files"]):
        raise ValueError("its files are not those it was written with")
    for name, digest in document["files"].items():
        if _digest(found[name]) != digest:
            raise ValueError(f"{name} was changed")
    kind = CALLS[document["kind"]]
    (call,) = _adapter(kind).validate_python((document["call"],))
    if isinstance(call, ModelRecord) and _EXAMPLE in found:
        call = replace(call, input_example=np.load(found[_EXAMPLE], allow_pickle=False))
    moved: Call = with_paths(call, lambda path: _within(path, folder))
    return moved


def _adapter(kind: type) -> Any:
    """Return what turns a record into JSON and checks it on its way back."""
    from pydantic import ConfigDict, TypeAdapter

    # In a tuple: a configuration is not taken for a dataclass itself.
    config = ConfigDict(arbitrary_types_allowed=True, ser_json_inf_nan="constants")
    return TypeAdapter(tuple[kind], config=config)  # type: ignore[valid-type]


def _copied(path: Path, folder: Path) -> Path:
    """Copy a file or folder to a place of its own; return where, within `folder`."""
    files = folder / _FILES
    files.mkdir(exist_ok=True)
    place = files / f"{len(list(files.iterdir()))}"
    place.mkdir()
    if path.is_dir():
        # Without their modes: a copy must be one that may be written to, and removed.
        shutil.copytree(path, place / path.name, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(path, place / path.name)
    return (place / path.name).relative_to(folder)


def _within(path: Path, folder: Path) -> Path:
    if path.is_absolute() or ".." in path.parts or not (folder / path).exists():
        raise ValueError(f"{path} is no file of this record")
    return folder / path


def _paths(folder: Path) -> Iterator[Path]:
    return folder.rglob("*")


def _files(folder: Path) -> list[Path]:
    return [path for path in _paths(folder) if path.is_file()]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
