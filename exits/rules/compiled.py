"""How rules are compiled, and how the loop that calls them is kept on disk."""

import hashlib
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba

from market.compiled import kept_on_disk

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}


def rule(kernel: Callable[P, R]) -> Callable[P, R]:
    """Compile a rule as part of what calls it; not kept on disk by itself.

    No fast-math: what is decided at bar t must be bitwise the same whether or not later bars exist.
    A rule may make no array: without counts of references a replay takes less than half the time.
    """
    return cast(Callable[P, R], numba.njit(**_OPTIONS)(kernel))


def kept_with(*folders: Path) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a loop and keep it on disk until it or any source file of these folders changes.

    Numba's own cache looks at the file of the loop alone, and would go on with rules that are no
    longer those of the other files. It does look at what a function closes over: there the digest
    of all those files goes.
    """

    def compiled(kernel: Callable[P, R]) -> Callable[P, R]:
        code = kernel.__code__
        closed_over = (*(kernel.__closure__ or ()), types.CellType(_digest(folders)))
        function = types.FunctionType(
            code.replace(co_freevars=(*code.co_freevars, "sources")),
            kernel.__globals__,
            kernel.__name__,
            kernel.__defaults__,
            closed_over,
        )
        function.__module__, function.__qualname__ = kernel.__module__, kernel.__qualname__
        return kept_on_disk(cast(Callable[P, R], function), **_OPTIONS)

    return compiled


def _digest(folders: tuple[Path, ...]) -> str:
    sha = hashlib.sha256()
    for folder in folders:
        for path in sorted([*folder.glob("*.py"), *folder.glob("*.csv")]):
            sha.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()
