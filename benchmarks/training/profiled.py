"""Runs ``pipelines.train_all`` and samples what its own process spends CPU time on.

``python -m benchmarks.training.profiled FILE OVERRIDES...`` writes seconds by package as JSON.
Sampled, not traced: a tracer would multiply the cost of whatever calls many small functions.
"""

import json
import runpy
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
EVERY_S = 0.002
ASKED = ("market", "models", "augmentation", "selection", "training", "tracking")
IMPORTS, REST = "imports", "pipelines and start-up"


class Sampler:
    """Adds the CPU time since the last sample to where the process is found.

    That is imports of any kind, or the package that the commands have called into.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._last_s = time.process_time()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take one sample; the handler of a timer's signal."""
        del number
        now_s = time.process_time()
        self.seconds[found_in(frame)] += now_s - self._last_s
        self._last_s = now_s


def found_in(frame: FrameType | None) -> str:
    """Return what a process at this frame is doing for the commands."""
    found = REST
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib") and code.co_name == "_find_and_load":
            return IMPORTS
        path = Path(code.co_filename)
        # The outermost one, so that a package counts with all that it does for the commands.
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in ASKED:
            found = path.relative_to(ROOT).parts[0]
        frame = frame.f_back
    return found


def main(path: str, *overrides: str) -> None:
    """Run the command; write what was sampled, however it ends."""
    sys.argv = ["train_all", *overrides]
    sampler = Sampler()
    signal.signal(signal.SIGPROF, sampler)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
    try:
        runpy.run_module("pipelines.train_all", run_name="__main__")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        largest_first = sorted(sampler.seconds.items(), key=lambda item: -item[1])
        Path(path).write_text(json.dumps(dict(largest_first)))


if __name__ == "__main__":
    main(*sys.argv[1:])
