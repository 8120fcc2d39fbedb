"""Which files ``experiences=`` names: files, patterns, folders with experiences beneath them."""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.command import ConfigError

# What a backtest writes, and what one may call files beside it.
IN_FOLDERS = ("experiences*.json", "experiences*.jsonl")
_EXPLORING = "exits=exploring account=exploring"


def experience_files(named: str | Sequence[str]) -> list[Path]:
    """Return the files that are named, each once, in the order of their names within each.

    A folder stands for all ``experiences*.json`` and ``experiences*.jsonl`` beneath it.

    Raises
    ------
    ConfigError
        If nothing is named, or a name stands for no file.
    """
    given = [named] if isinstance(named, str) else list(named)
    if not given or not all(one.strip() for one in given):
        raise ConfigError("experiences: name at least one file, folder or pattern, was empty")
    found: dict[Path, Path] = {}
    for one in given:
        paths = sorted(_files(one))
        if not paths:
            raise ConfigError(f"experiences: {_why_none(one)}")
        for path in paths:
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _files(named: str) -> Iterator[Path]:
    path = Path(named)
    if path.is_dir():
        for pattern in IN_FOLDERS:
            yield from (one for one in path.rglob(pattern) if one.is_file())
    elif path.is_file():
        yield path
    else:
        yield from (Path(one) for one in glob.glob(named, recursive=True) if Path(one).is_file())  # noqa: PTH207


def _why_none(named: str) -> str:
    if Path(named).is_dir():
        return f"{named} holds no {' or '.join(IN_FOLDERS)}; name the files"
    if glob.has_magic(named):
        return f"{named}: no file has such a name"
    return f"{named}: no such file; python -m pipelines.backtest {_EXPLORING} writes one"
