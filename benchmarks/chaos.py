"""Kills one run again and again at random moments, and holds its end against that of a quiet one.

    python -m benchmarks.chaos --kills 50

A kill is SIGKILL, of the command alone, of one of its workers, or of all at once. Counted are fits
that were on disk before a kill and were gone or made once more after it, and whatever differs in
results, predictions, model files and manifest but times, run ids, places, the digest of the
manifest before, and how often a holdout was opened. In MLflow every model must be there once,
beneath one finished run, and nothing may be left running.
"""

import argparse
import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import psutil

from training.units import kept_units

PASSING = frozenset(
    {
        "timestamp",
        "run_id",
        "execution",
        "previous_manifest_sha256",
        "model_version",
        "model_uri",
        "openings",
        "training_duration_seconds",
        "cpu_seconds",
    }
)
TEXTS = ("deploy/manifest.json", "out/leaderboard.csv", "out/results/", "out/selections.json")
BYTES = ("deploy/artifacts/", "out/models/", "out/predictions/")
KINDS = ("command", "worker", "everything")
# One start in so many is killed before it trains; the others some time after their first new fit,
# and where nothing is left to fit, while they select, record and write.
EARLY = 5
EARLY_S, AFTER_A_FIT_S, WITHOUT_A_FIT_S = 5.0, 2.0, 12.0

Unit = tuple[str, str]


@dataclass(slots=True)
class Killed:
    """What came of a run that was killed on its way.

    Attributes
    ----------
    kinds : Counter
        Kills by what was killed.
    lost, made_twice : list
        Fits that were kept before a kill and gone after it; fits that were made once more.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    lost: list[Unit] = field(default_factory=list)
    made_twice: list[Unit] = field(default_factory=list)


def run_killed(
    folder: Path,
    arguments: Sequence[str],
    *,
    n_kills: int,
    rng: np.random.Generator,
    most_s: float = AFTER_A_FIT_S,
) -> Killed:
    """Start a run, kill it, and start it again until it was killed often enough; let it end then.

    ``most_s`` is how long it goes on after a new fit, before it is killed.

    Raises
    ------
    RuntimeError
        If the run ends before it was killed as often, or fails when nobody kills it.
    """
    killed, known = Killed(), Counter[Unit]()
    while killed.kinds.total() < n_kills:
        kind = KINDS[int(rng.integers(len(KINDS)))]
        process = _started(folder, arguments)
        _await_moment(process, folder, rng, most_s)
        if process.poll() is None:
            killed.kinds[kind] += _kill(process, kind)
        if kind == "worker":
            # It is to go on without the worker, for a while or to its end.
            _wait(process, rng.uniform(0.0, 5 * most_s))
        if process.poll() not in (None, -signal.SIGKILL):
            raise RuntimeError(
                f"the run ended by itself, code {process.returncode}, after "
                f"{killed.kinds.total()} kills of {n_kills}: {folder}/log"
            )
        process.kill()
        process.wait()
        _await_orphans(process.pid)
        found = Counter(_units(folder))
        killed.lost += sorted(known - found)
        known = found
    process = _started(folder, arguments)
    if process.wait() not in (0, 3):
        raise RuntimeError(f"the run failed with code {process.returncode}: {folder}/log")
    found = Counter(_units(folder))
    killed.lost += sorted(known - found)
    killed.made_twice = sorted(unit for unit, n_times in found.items() if n_times > 1)
    return killed


def lasting(folder: Path) -> dict[str, Any]:
    """Return all that two runs of the same command must have in common, by file."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") and part.endswith(".tmp") for part in path.parts):
            continue
        if name.startswith(TEXTS):
            found[name] = _plain(path)
        elif name.startswith(BYTES):
            found[name] = path.read_bytes()
    return found


def tracked(folder: Path) -> dict[str, Any]:
    """Return what stands in the MLflow store: statuses, and how often each model is there."""
    with closing(sqlite3.connect(folder / "mlruns" / "mlflow.db")) as store:
        runs = dict(store.execute("SELECT run_uuid, status FROM runs").fetchall())
        parents = dict(
            store.execute(
                "SELECT run_uuid, value FROM tags WHERE key = 'mlflow.parentRunId'"
            ).fetchall()
        )
        names = dict(store.execute("SELECT run_uuid, name FROM runs").fetchall())
        versions = store.execute("SELECT name, run_id FROM model_versions").fetchall()
        resumed = {
            run for (run,) in store.execute("SELECT run_uuid FROM tags WHERE key = 'resumed_by'")
        }
    (finished,) = runs.keys() - parents.keys() - resumed
    return {
        "statuses": sorted(set(runs.values())),
        "models": Counter(names[run] for run in parents),
        "elsewhere": sorted(names[run] for run, parent in parents.items() if parent != finished),
        "versions": Counter(f"{name} {names[run]}" for name, run in versions),
    }


def _plain(path: Path) -> Any:
    if path.suffix != ".json":
        return path.read_text(encoding="utf-8")
    return _without_passing(json.loads(path.read_text(encoding="utf-8")))


def _without_passing(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_passing(one) for key, one in value.items() if key not in PASSING}
    return [_without_passing(one) for one in value] if isinstance(value, list) else value


def _started(folder: Path, arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
    folder.mkdir(parents=True, exist_ok=True)
    places = (
        f"output_dir={folder}/out",
        f"manifest.path={folder}/deploy/manifest.json",
        f"tracking.uri=sqlite:///{folder}/mlruns/mlflow.db",
    )
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - this project's own command
            [sys.executable, "-m", "pipelines.train_all", *arguments, *places],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _await_moment(
    process: "subprocess.Popen[bytes]", folder: Path, rng: np.random.Generator, most_s: float
) -> None:
    """Wait until it is time for a kill, or the process has ended."""
    if rng.integers(EARLY) == 0:
        _wait(process, rng.uniform(0.0, EARLY_S))
        return
    before, since_s = _n_bytes(folder), time.monotonic()
    longest_s = rng.uniform(WITHOUT_A_FIT_S / 2, WITHOUT_A_FIT_S)
    while process.poll() is None and time.monotonic() - since_s < longest_s:
        if _n_bytes(folder) != before:
            _wait(process, rng.uniform(0.0, most_s))
            return
        time.sleep(0.02)


def _wait(process: "subprocess.Popen[bytes]", most_s: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(most_s)


def _n_bytes(folder: Path) -> int:
    """Return how much is kept of all fits."""
    return sum(path.stat().st_size for path in (folder / "out" / "units").glob("*/*"))


def _kill(process: "subprocess.Popen[bytes]", kind: str) -> int:
    """Kill what is to be killed; return 1, or 0 where there was no such process."""
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        this = psutil.Process(process.pid)
        if kind == "everything":
            os.killpg(process.pid, signal.SIGKILL)
            return 1
        if kind == "command":
            process.kill()
            return 1
        workers = [one for child in this.children() for one in child.children()]
        if workers:
            workers[0].kill()
            return 1
    return 0


def _await_orphans(group: int) -> None:
    """Wait until nothing is left of a process group."""
    for _ in range(1000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise RuntimeError(f"processes of group {group} live on")


def _units(folder: Path) -> Iterator[Unit]:
    """Yield every fit that is kept, once for each file that it stands in."""
    for path in sorted((folder / "out" / "units").glob("*/*")):
        for name in kept_units(path.parent, path.stem, path.name):
            yield path.parent.name, name


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run quietly once, then killed; print what was counted, as a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.chaos")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None, help="of the moments; by default another")
    parser.add_argument("--output", type=Path, default=Path("runs/chaos.json"))
    parser.add_argument("overrides", nargs="*", help="of train_all")
    given = parser.parse_args(arguments)
    seed = secrets.randbits(32) if given.seed is None else given.seed
    with TemporaryDirectory(prefix="chaos-") as place:
        quiet, killed = Path(place) / "quiet", Path(place) / "killed"
        run_killed(quiet, given.overrides, n_kills=0, rng=np.random.default_rng(seed))
        _say(f"a quiet run has ended; {given.kills} kills of another begin, seed {seed}")
        told = run_killed(
            killed, given.overrides, n_kills=given.kills, rng=np.random.default_rng(seed)
        )
        expected, found = lasting(quiet), lasting(killed)
        differing = sorted(
            name for name in {*expected, *found} if expected.get(name) != found.get(name)
        )
        store, store_quiet = tracked(killed), tracked(quiet)
    record = {
        "seed": seed,
        "kills": told.kinds.total(),
        "kills_by_kind": dict(told.kinds),
        "fits_lost": len(told.lost),
        "fits_made_twice": len(told.made_twice),
        "files_compared": len(expected),
        "files_differing": differing,
        "mlflow_left_running": "RUNNING" in store["statuses"],
        "mlflow_models_as_in_the_quiet_run": store["models"] == store_quiet["models"],
        "mlflow_versions_as_in_the_quiet_run": store["versions"] == store_quiet["versions"],
        "mlflow_models_elsewhere": store["elsewhere"],
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, value in record.items():
        _say(f"{name.replace('_', ' '):40} {value}")
    good = not (told.lost or told.made_twice or differing or store["elsewhere"])
    good &= store["models"] == store_quiet["models"] and "RUNNING" not in store["statuses"]
    return 0 if good and store["versions"] == store_quiet["versions"] else 1


if __name__ == "__main__":
    sys.exit(main())
