"""What a run costs: processor seconds by what they were spent on."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psutil import Process

FITS = ("fit", "walk_forward", "augmentation")


class RunCost:
    """Measures a run from its construction on, the processes it started included."""

    def __init__(self) -> None:
        self._wall_s = time.monotonic()
        self._process_s = time.process_time()
        self._children_s = _children_s()

    def measured(
        self, results: Mapping[str, Mapping[str, Mapping[str, Any]]], logging_s: float
    ) -> dict[str, Any]:
        """Return CPU seconds in all, per model, and per symbol and model.

        ``everything_else`` is what the processes used beyond fits and logging: start-up and
        imports, features and labels, scoring, selection, files.
        """
        by_model: dict[str, dict[str, float]] = {}
        by_symbol: dict[str, dict[str, dict[str, float]]] = {}
        for symbol, models in results.items():
            for name, result in models.items():
                seconds = result.get("cpu_seconds")
                if seconds is None:
                    continue
                by_symbol.setdefault(symbol, {})[name] = dict(seconds)
                totals = by_model.setdefault(name, dict.fromkeys(FITS, 0.0))
                for part in FITS:
                    totals[part] += seconds[part]
        parts = {part: sum(totals[part] for totals in by_model.values()) for part in FITS}
        fits_s = sum(parts.values())
        workers_s = _children_s() - self._children_s
        if os.name != "posix":
            # Nothing is told of children that have ended: their fits stand for them.
            workers_s = max(workers_s, fits_s)
        total_s = time.process_time() - self._process_s + workers_s
        return {
            "wall_seconds": time.monotonic() - self._wall_s,
            "cpu_seconds": {
                **parts,
                "logging": logging_s,
                "everything_else": max(0.0, total_s - fits_s - logging_s),
                "total": total_s,
            },
            "cpu_seconds_by_model": by_model,
            "cpu_seconds_by_symbol_and_model": by_symbol,
        }


def _children_s() -> float:
    """Return the CPU seconds of all processes below this one, ended or not."""
    import psutil

    this = psutil.Process()
    spent_s = _ended_children_s(this)
    for child in this.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            spent_s += times.user + times.system + _ended_children_s(child)
    return spent_s


def _ended_children_s(process: "Process") -> float:
    times = process.cpu_times()
    return float(times.children_user + times.children_system)
