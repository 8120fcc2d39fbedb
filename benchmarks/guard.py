"""Fails where a hot path has become slower than it was: ``python -m benchmarks.guard``.

Compares ``runs/bench/ratios.json`` (``python -m benchmarks.ratios``) with the landed ratios in
``benchmarks/ratios.json``. A path that looks slower is measured up to twice more, each time in a
fresh process, and its best ratio counts: noise passes sooner or later, a loss does not.
``--accept`` makes the ratios found now the landed ones.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.ratios import OUT, Measured, measured
from selection.atomic import write_json_atomically

LANDED = Path(__file__).with_name("ratios.json")
ALLOWED = 1.2
# On another processor than the landed one's, caches and vector units move ratios by themselves.
ALLOWED_ELSEWHERE = 1.5
MORE_TRIES = 2
ACCEPT = "python -m benchmarks.guard --accept"

Measure = Callable[[Collection[str]], Measured]


class GuardError(RuntimeError):
    """Ratios that cannot be compared; the message is one line."""


def read(path: Path, *, remedy: str) -> Measured:
    """Return the ratios of a file; raises GuardError where there are none."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Measured(
            {name: float(value) for name, value in told["ratios"].items()},
            str(told["processor"]),
        )
    except FileNotFoundError as error:
        raise GuardError(f"{path}: is missing; {remedy}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        sentence = f"{path}: holds no ratios ({type(error).__name__}: {error}); {remedy}"
        raise GuardError(sentence) from error


def losses(landed: Measured, now: Measured) -> dict[str, str]:
    """Return one line for each path that has become slower, or cannot be compared."""
    allowed = allowed_between(landed, now)
    found = {}
    for name, value in now.ratios.items():
        if name not in landed.ratios:
            found[name] = f"{name}: {value:.3f} now, no landed ratio; land it with {ACCEPT}"
        elif value > allowed * landed.ratios[name]:
            then = landed.ratios[name]
            found[name] = (
                f"{name}: {value:.3f} now, {then:.3f} landed: {value / then - 1:+.0%}, "
                f"{allowed - 1:+.0%} is allowed; where it is worth it, {ACCEPT}"
            )
    for name in landed.ratios:
        if name not in now.ratios:
            found[name] = f"{name}: landed, but not measured any more; drop it with {ACCEPT}"
    return found


def allowed_between(landed: Measured, now: Measured) -> float:
    """Return how many times the landed ratio a path may have."""
    return ALLOWED if landed.processor == now.processor else ALLOWED_ELSEWHERE


def tried_again(landed: Measured, now: Measured, measure: Measure) -> Measured:
    """Measure paths that look slower again, and keep the best ratio of each."""
    for _ in range(MORE_TRIES):
        slower = [name for name in losses(landed, now) if name in now.ratios]
        slower = [name for name in slower if name in landed.ratios]
        if not slower:
            break
        again = measure(slower).ratios
        best = {name: min(now.ratios[name], again.get(name, now.ratios[name])) for name in slower}
        now = Measured(now.ratios | best, now.processor)
    return now


def accepted(tries: Sequence[Measured]) -> Measured:
    """Return what is to be landed: the median of several tries."""
    last = tries[-1]
    ratios = {
        name: statistics.median(one.ratios[name] for one in tries) for name in sorted(last.ratios)
    }
    return Measured(ratios, last.processor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, or accept; 1 where something became slower or nothing can be compared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=__doc__)
    parser.add_argument("--accept", action="store_true", help="land the ratios found now")
    parser.add_argument("--measured", type=Path, default=OUT, help=f"{OUT} by default")
    parser.add_argument("--landed", type=Path, default=LANDED, help="benchmarks/ratios.json")
    given = parser.parse_args(arguments)
    try:
        now = read(given.measured, remedy="run python -m benchmarks.ratios")
        if given.accept:
            return _accept(given.landed, now)
        landed = read(given.landed, remedy=f"land the first ones with {ACCEPT}")
    except GuardError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return _judge(landed, tried_again(landed, now, measured))


def _judge(landed: Measured, now: Measured) -> int:
    if landed.processor != now.processor:
        elsewhere = f"landed on {landed.processor}, measured on {now.processor}"
        sys.stdout.write(f"{elsewhere}: {ALLOWED_ELSEWHERE - 1:+.0%} is allowed\n")
    found = losses(landed, now)
    for line in found.values():
        sys.stderr.write(f"{line}\n")
    for name, value in now.ratios.items():
        if name in landed.ratios and value * ALLOWED < landed.ratios[name]:
            gained = f"{name}: {value:.3f} now, {landed.ratios[name]:.3f} landed"
            sys.stdout.write(f"{gained}: quicker; hold it with {ACCEPT}\n")
    slower = f"{len(found)} of {len(now.ratios)} hot paths failed"
    sys.stdout.write(f"{slower if found else f'{len(now.ratios)} hot paths are as quick'}\n")
    return 1 if found else 0


def _accept(path: Path, now: Measured) -> int:
    landed = accepted([measured(), measured(), now])
    write_json_atomically(path, asdict(landed))
    sys.stdout.write(f"{path}: {len(landed.ratios)} ratios landed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
