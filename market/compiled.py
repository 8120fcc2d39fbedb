"""How the loops over bars are compiled, and the arrays they exchange.

One decorator, so that every kernel obeys the same rules.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

SignArray = npt.NDArray[np.int8]
IndexArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

P = ParamSpec("P")
R = TypeVar("R")


def compiled(kernel: Callable[P, R]) -> Callable[P, R]:
    """Compile a loop over bars to machine code, kept on disk between runs.

    No fast-math: the result for bar t must be bitwise the same whether or not later bars exist.
    A kernel may call only kernels of its own file, since the cache of a caller notices changes
    to that file alone.
    """
    return kept_on_disk(kernel)


def vectorised(kernel: Callable[P, R]) -> Callable[P, R]:
    """Compile arithmetic on whole rows as `compiled` does; a division by zero gives inf or NaN.

    Without the check of each divisor several numbers are divided at once.
    """
    return kept_on_disk(kernel, error_model="numpy")


def kept_on_disk(kernel: Callable[P, R], **options: Any) -> Callable[P, R]:
    """Compile a kernel and keep it, beside its file or in the user's cache; or compile it alone."""
    try:
        return cast(Callable[P, R], numba.njit(cache=True, **options)(kernel))
    except RuntimeError:
        # Neither place can be written to: it is compiled anew in each process.
        return cast(Callable[P, R], numba.njit(**options)(kernel))
