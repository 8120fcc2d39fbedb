"""How many workers the memory that is free has room for."""

import sys
from pathlib import Path

CONTROL_GROUP = Path("/sys/fs/cgroup")
# What a worker takes beside its rows, and how many times over it holds these (a net's folds side by
# side, each scaled by its own training rows, take the most).
WORKER_BYTES = 350 << 20
COPIES = 12


def affordable_workers(n_cores: int, largest_bytes: int, limit_bytes: int | None = None) -> int:
    """Return as many workers as cores, or fewer, at least 1, where memory would not do.

    Parameters
    ----------
    n_cores : int
    largest_bytes : int
        Of the features of the symbol with the most rows.
    limit_bytes : int or None
        What a worker is allowed to take, in place of what it is expected to.
    """
    each_bytes = limit_bytes or WORKER_BYTES + COPIES * largest_bytes
    return max(1, min(n_cores, free_bytes() // each_bytes))


def private_bytes(process_id: int) -> int:
    """Return the memory that a process has for itself alone; 0 for one that is gone."""
    import psutil

    try:
        return int(psutil.Process(process_id).memory_full_info().uss)
    except psutil.Error:
        return 0


def free_bytes() -> int:
    """Return the memory that may still be taken, a container's limit included."""
    import psutil

    return min(int(psutil.virtual_memory().available), _free_in_group())


def _free_in_group() -> int:
    try:
        limit, taken = int(_told("memory.max")), int(_told("memory.current"))
        parts = dict(line.split() for line in _told("memory.stat").splitlines())
        # Counted as taken, but given back when it is wanted: files that were read.
        return max(0, limit - taken + int(parts["inactive_file"]))
    except (OSError, ValueError, KeyError):
        # No group, or none with a limit ("max").
        return sys.maxsize


def _told(name: str) -> str:
    return (CONTROL_GROUP / name).read_text(encoding="ascii").strip()
