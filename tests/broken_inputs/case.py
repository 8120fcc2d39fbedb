"""One broken file: what it is, how it is made, and what must be said of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Case:
    """A file that cannot be used, or that looks as if it could not.

    Attributes
    ----------
    file : str
        Its name.
    given : str
        What it is, in words.
    content : bytes, or a function of the path that makes whatever it is
    says : tuple of str
        What the line must hold: the place, what was found, what to do. Of a file that is used,
        what is said of it.
    used : bool
        Odd but legal: it must be read and made ready for training.
    options : tuple of tuple
        Keys of ``data`` and their values, where those declared would not do.
    readable : bool
        False takes the right to read it away.
    """

    file: str
    given: str
    content: bytes | Callable[[Path], object]
    says: tuple[str, ...]
    used: bool = False
    options: tuple[tuple[str, str], ...] = ()
    readable: bool = True

    @property
    def joins_others(self) -> bool:
        """Whether it may lie in one folder with all others."""
        return not self.options and self.readable

    def write(self, folder: Path) -> None:
        path = folder / self.file
        if isinstance(self.content, bytes):
            path.write_bytes(self.content)
        else:
            self.content(path)
        if not self.readable:
            path.chmod(0)
