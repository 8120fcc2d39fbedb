"""What a fit's code is, as a digest: the modules that it uses, and nothing else."""

import ast
import functools
import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("augmentation", "market", "models", "selection", "training")


@functools.cache
def used_code_digest(*modules: str) -> str:
    """Return the SHA-256 of the sources of modules and of all that they import of this project.

    Imports within functions count, those of other projects do not. Where there are no sources to
    be read (an archive), no two processes count as the same.

    Parameters
    ----------
    *modules : str
        By their full names.
    """
    sources: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if name in sources or path is None:
            continue
        sources[name] = path.read_bytes()
        waiting += _imported(sources[name], name)
    if not sources:
        return secrets.token_hex(32)
    sha = hashlib.sha256()
    for name in sorted(sources):
        sha.update(f"{name} {hashlib.sha256(sources[name]).hexdigest()}\n".encode())
    return sha.hexdigest()


def _source(name: str) -> Path | None:
    base = ROOT.joinpath(*name.split("."))
    return next(
        (path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None
    )


@functools.cache
def _imported(source: bytes, name: str) -> tuple[str, ...]:
    """Return what of this project a source imports, names within modules among it."""
    tree = ast.parse(source, name)
    names = (one for node in ast.walk(tree) for one in _names(node))
    return tuple(one for one in names if one.partition(".")[0] in PACKAGES)


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        # What is imported from a package may be a module of it.
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
