"""Files of settings that a user adds by ``--config-dir``, looked at before anybody unfolds them."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from market.reading.safe_names import clipped

MOST_BYTES = 2**20
MOST_VALUES = 100_000


def unusable_settings(arguments: Iterable[str]) -> str | None:
    """Return the line on the first file that cannot be read, or is there to fill the memory."""
    for path in _files(arguments):
        if (finding := _finding(path)) is not None:
            return f"{clipped(path.name)}: {finding}"
    return None


def yaml_finding(error: Any) -> str:
    """Return what PyYAML says of a file in one line: its name, the line and the problem."""
    mark = getattr(error, "problem_mark", None)
    place = f"{clipped(Path(mark.name).name)}, line {mark.line + 1}: " if mark else ""
    return f"{place}cannot be read as YAML: {clipped(getattr(error, 'problem', None) or 'unknown')}"


def _files(arguments: Iterable[str]) -> Iterator[Path]:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config-dir", "-cd")
    try:
        folder = parser.parse_known_args(list(arguments))[0].config_dir
    except argparse.ArgumentError:
        return
    if folder is not None:
        yield from sorted(path for path in Path(folder).rglob("*.yaml") if path.is_file())


def _finding(path: Path) -> str | None:
    import yaml

    try:
        if path.stat().st_size > MOST_BYTES:
            return f"has more than {MOST_BYTES:,} bytes; settings have no such need"
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        n_values = 0 if root is None else _values(root, {})
    except (UnicodeDecodeError, RecursionError, yaml.YAMLError):
        return None  # said when it is read
    except OSError as error:
        return f"cannot be read: {error.strerror}; look at its disk, and who may read it"
    if n_values <= MOST_VALUES:
        return None
    return f"holds more than {MOST_VALUES:,} values once its aliases (*) are written out"


def _values(node: Any, known: dict[int, float]) -> float:
    """Return how many values a node holds; one that holds itself holds endlessly many."""
    if id(node) not in known:
        known[id(node)] = float("inf")
        inner = node.value if isinstance(node.value, list) else ()
        parts = (part for one in inner for part in (one if isinstance(one, tuple) else (one,)))
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]
