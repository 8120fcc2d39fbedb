"""What our hot paths cost beside fixed work, as ratios of CPU time.

``python -m benchmarks.ratios`` measures all of them in a few tens of seconds.

Path and baseline are called in turn in one process of one thread, and the least of each counts:
whatever else runs on the machine can only add. Instruction counts would be steadier still, but
few virtual machines have counters, and a merge must be judged the same way everywhere.
"""

import argparse
import gc
import os
import platform
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.honesty.runner import one_core_pool
from selection.atomic import write_json_atomically

OUT = Path("runs/bench/ratios.json")
# Every path has its turns in several sweeps over all of them, so that a disturbance of seconds
# cannot spoil all turns of one; a slow path has fewer, of about so many seconds in a sweep.
SWEEPS, TURNS, TURNS_S = 4, 4, 0.4
# A timing lasts about so long: the clock's step and a stray interrupt are small beside it.
TIMED_S = 0.025


@dataclass(frozen=True, slots=True)
class Measured:
    """Ratios by path, lower is better; and what they were measured on."""

    ratios: dict[str, float]
    processor: str = ""


def measured(paths: Collection[str] | None = None) -> Measured:
    """Measure in a fresh process: all paths, or those named."""
    with _same_hashes(), one_core_pool(1) as pool:
        return pool.submit(_measured_here, None if paths is None else sorted(paths)).result()


def _measured_here(paths: Sequence[str] | None) -> Measured:
    from benchmarks.hot_paths import HOT_PATHS

    found = swept(
        {
            name: Duel(path.ours, path.baseline)
            for name, prepare in HOT_PATHS.items()
            if (paths is None or name in paths) and (path := prepare())
        }
    )
    return Measured(found, processor())


class Duel:
    """A path and its baseline, timed in turn; the least CPU time of each counts."""

    def __init__(self, ours: Callable[[], object], baseline: Callable[[], object]) -> None:
        self._calls = [(call, _repetitions(call)) for call in (ours, baseline)]
        self._least_s = [float("inf")] * 2

    def sweep(self) -> None:
        """Time both a few times more."""
        spent_s = 0.0
        for _ in range(TURNS):
            for which, (call, repetitions) in enumerate(self._calls):
                once_s = _once_s(call, repetitions)
                self._least_s[which] = min(self._least_s[which], once_s)
                spent_s += once_s * repetitions
            if spent_s > TURNS_S:
                break

    @property
    def ratio(self) -> float:
        """The path's time over its baseline's."""
        return self._least_s[0] / self._least_s[1]


def swept(duels: Mapping[str, Duel]) -> dict[str, float]:
    """Return each path's ratio after all sweeps."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(SWEEPS):
            for duel in duels.values():
                duel.sweep()
    finally:
        gc.enable()
    return {name: duel.ratio for name, duel in duels.items()}


def _repetitions(call: Callable[[], object]) -> int:
    # The first call compiles and imports.
    call()
    return max(1, round(TIMED_S / max(_once_s(call, 1), 1e-6)))


def _once_s(call: Callable[[], object], repetitions: int) -> float:
    start_s = time.process_time()
    for _ in range(repetitions):
        call()
    return (time.process_time() - start_s) / repetitions


@contextmanager
def _same_hashes() -> Iterator[None]:
    """Let processes started here order their sets alike."""
    before = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONHASHSEED"]
        else:
            os.environ["PYTHONHASHSEED"] = before


def processor() -> str:
    """Return what kind of processor this is, as far as the system tells."""
    wanted = ("vendor_id", "cpu family", "model", "model name")
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return f"{platform.machine()} {platform.processor()}".strip()
    told = dict(line.split(":", 1) for line in first.splitlines() if ":" in line)
    values = {key.strip(): value.strip() for key, value in told.items()}
    return " ".join(values[key] for key in wanted if key in values) or platform.machine()


def table(found: Mapping[str, float]) -> str:
    """Return one line per path."""
    width = max(map(len, found))
    return "".join(f"{name:{width}}  {value:8.3f}\n" for name, value in found.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every path; write and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ratios", description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help=f"{OUT} by default")
    given = parser.parse_args(arguments)
    found = measured()
    write_json_atomically(given.out, asdict(found))
    sys.stdout.write(table(found.ratios))
    sys.stdout.write(f"{given.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
