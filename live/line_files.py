"""Lines of JSON that are on disk once `LineFiles.append` returns, in files rotated by size.

``NAME.jsonl`` is written; full, it becomes ``NAME.000001.jsonl``, the next one
``NAME.000002.jsonl``, and so on: the lowest number is the oldest. Rotating is one renaming, so that
a kill leaves every line in exactly one file. What a kill leaves of a line that was being written is
cut off at the next start: nobody was told that it was kept.

Full files may be moved away. No number is given twice all the same: the last one is kept in
``.NAME.last``, from before a file gets it (so that a kill may leave one out).
"""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from filelock import FileLock, Timeout
from pydantic_core import from_json

from selection.atomic import sync_folder, write_bytes_atomically

# A position is a file's number and a place in it: no file has a terabyte.
_PLACE_BITS: Final = 40
_PLACES: Final = (1 << _PLACE_BITS) - 1
# Longer ones are no numbers that were counted to.
_MOST_DIGITS: Final = 12

logger = logging.getLogger(__name__)


class LineFilesError(OSError):
    """Files of lines that cannot be gone on with; one line with what was found and what to do."""


class InUseError(LineFilesError):
    """Another process writes these files."""


class LineFiles:
    """The lines of one name in one folder, for one process to write at a time.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    name : str
        Of the files, without ending.
    rotate_bytes : int
        A file of so many bytes is written no further.

    Raises
    ------
    InUseError
        If another process writes them; its hold ends with it, however that ends.
    LineFilesError
        If the last number cannot be read.
    OSError
        If the folder cannot be written to.
    """

    def __init__(self, folder: Path, name: str, *, rotate_bytes: int) -> None:
        if rotate_bytes < 1:
            raise ValueError(f"rotate_bytes must be at least 1, was {rotate_bytes}")
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / f".{name}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InUseError(
                f"another recorder is at work in {folder}; end it, or give another folder"
            ) from None
        self._folder, self._name, self._rotate_bytes = folder, name, rotate_bytes
        self._path = folder / f"{name}.jsonl"
        self._last_number = _last_number_file(folder, name)
        self._number = self._first_free()
        _repair(self._path)
        self._file, self._size = self._opened()
        self._is_broken = False

    @property
    def path(self) -> Path:
        """Return the file that is written now."""
        return self._path

    def append(self, lines: Sequence[bytes]) -> list[int]:
        """Write lines (each without its end) and see them reach the disk; return their positions.

        Raises
        ------
        LineFilesError
            If somebody else has changed the file meanwhile.
        OSError
            If they cannot be written: then none of them counts, and no further ones are taken.
        """
        if self._is_broken:
            raise LineFilesError(f"{self._path}: an earlier write failed; start again")
        if self._size >= self._rotate_bytes:
            self._rotate()
        self._check_unchanged()
        positions, end = [], self._size
        for line in lines:
            positions.append(self._number << _PLACE_BITS | end)
            end += len(line) + 1
        # Until it is known to be on the disk, what the disk holds is not known.
        self._is_broken = True
        try:
            _write_all(self._file.fileno(), b"".join(line + b"\n" for line in lines))
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._is_broken, self._size = False, end
        return positions

    def line_at(self, position: int) -> dict[str, Any]:
        """Return the line that was found or appended at a position."""
        number, place = position >> _PLACE_BITS, position & _PLACES
        path = self._path if number == self._number else _rotated(self._path, number)
        with path.open("rb") as file:
            file.seek(place)
            found: dict[str, Any] = from_json(file.readline())
        return found

    def lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield position and content of every line, oldest first; warn of those that are none."""
        for number in (*_numbers(self._folder, self._name), self._number):
            path = self._path if number == self._number else _rotated(self._path, number)
            with path.open("rb") as file:
                for place, line in _objects(file, path):
                    yield number << _PLACE_BITS | place, line

    def close(self) -> None:
        """Let another process write."""
        try:
            self._file.close()
        finally:
            self._lock.release()

    def _opened(self) -> tuple[BinaryIO, int]:
        is_new = not self._path.exists()
        # No buffer of our own: what failed to be written must not come later.
        file = self._path.open("ab", buffering=0)
        if is_new:
            sync_folder(self._folder)
        return file, os.fstat(file.fileno()).st_size

    def _rotate(self) -> None:
        full = _rotated(self._path, self._number)
        if full.exists():
            raise LineFilesError(f"{full}: was made by somebody else; move it away")
        self._keep_number(self._number)
        self._file.close()
        self._path.rename(full)
        sync_folder(self._folder)
        self._number += 1
        self._file, self._size = self._opened()

    def _first_free(self) -> int:
        """Return the number after the last one given, whether that file is here still or not."""
        here, given = (
            max(_numbers(self._folder, self._name), default=0),
            _kept_number(self._last_number),
        )
        if here > given:
            self._keep_number(here)
            sync_folder(self._folder)
        return max(here, given) + 1

    def _keep_number(self, number: int) -> None:
        write_bytes_atomically(self._last_number, f"{number}\n".encode())

    def _check_unchanged(self) -> None:
        """See that the name still stands for the file that is open, and that it is all ours."""
        ours = os.fstat(self._file.fileno())
        try:
            named = self._path.stat()
        except FileNotFoundError:
            named = None
        if named is None or (named.st_ino, named.st_dev) != (ours.st_ino, ours.st_dev):
            raise LineFilesError(f"{self._path}: was moved or deleted meanwhile; start again")
        if ours.st_size != self._size:
            raise LineFilesError(
                f"{self._path}: has {ours.st_size} bytes where {self._size} were written; somebody "
                "else writes it, end that and start again"
            )


def whole_lines(folder: Path, name: str) -> Iterator[tuple[Path, list[bytes]]]:
    """Yield each file of a name with its lines, oldest first, while another process may write them.

    A line may come twice where a file is rotated meanwhile, none is left out. Lines that are no
    JSON objects are left out with a warning, a last line that has no end without.
    """
    active = folder / f"{name}.jsonl"
    # Opened before the others are listed: rotated in between, it is among them as well.
    try:
        newest: BinaryIO | None = active.open("rb")
    except FileNotFoundError:
        newest = None
    for number in _numbers(folder, name):
        path = _rotated(active, number)
        # Moved away since.
        if path.exists():
            with path.open("rb") as file:
                yield path, _whole(file, path)
    if newest is not None:
        with newest:
            yield active, _whole(newest, active)


def _whole(file: BinaryIO, path: Path) -> list[bytes]:
    kept, number = [], 0
    for number, line in enumerate(file, start=1):
        if not line.endswith(b"\n"):
            break
        if _object(line) is None:
            _warn_of(path, number)
        else:
            kept.append(line)
    return kept


def _objects(file: BinaryIO, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    place = 0
    for number, line in enumerate(file, start=1):
        found = _object(line)
        if found is None:
            _warn_of(path, number)
        else:
            yield place, found
        place += len(line)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        found = from_json(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _write_all(opened: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(opened, left) :]


def _warn_of(path: Path, number: int) -> None:
    logger.warning("%s: line %d cannot be read and is left out; look at it", path, number)


def _numbers(folder: Path, name: str) -> list[int]:
    """Return the numbers of the full files that are there, oldest first."""
    pattern = re.compile(rf"{re.escape(name)}\.(\d{{6,}})\.jsonl")
    found = (pattern.fullmatch(path.name) for path in folder.iterdir()) if folder.exists() else ()
    return sorted(int(one[1]) for one in found if one)


def _last_number_file(folder: Path, name: str) -> Path:
    # Hidden: who moves NAME.* away leaves it.
    return folder / f".{name}.last"


def _kept_number(path: Path) -> int:
    try:
        found = path.read_bytes().strip()
    except FileNotFoundError:
        return 0
    if not found.isdigit() or len(found) > _MOST_DIGITS:
        raise LineFilesError(
            f"{path}: holds no number; write into it the highest that any file was given"
        )
    return int(found)


def _rotated(active: Path, number: int) -> Path:
    return active.with_name(f"{active.stem}.{number:06d}.jsonl")


def _repair(path: Path) -> None:
    """End a file with a whole line: cut off what comes after the last one."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        begin = _last_line_begin(file, end)
        if begin == end:
            return
        file.seek(begin)
        # An editor may have left a whole line without its end.
        if _object(file.read()) is not None:
            file.write(b"\n")
        else:
            file.truncate(begin)
            logger.warning("%s: %d bytes of a line cut short were removed", path, end - begin)
        file.flush()
        os.fsync(file.fileno())


def _last_line_begin(file: BinaryIO, end: int) -> int:
    """Return where what follows the last line end begins."""
    step, at = 64 * 2**10, end
    while at > 0:
        begin = max(0, at - step)
        file.seek(begin)
        found = file.read(at - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        at = begin
    return 0
