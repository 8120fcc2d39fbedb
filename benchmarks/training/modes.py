"""The contenders: how each is started, and how what it found is read."""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.honesty.runner import ONE_THREAD
from benchmarks.training.usage import Usage, used
from benchmarks.training.work import MODELS, NAMES, Fitted, Work, epoch_overrides, losses

ROOT = Path(__file__).resolve().parents[2]
# Modules beside this one, and what they find in the environment.
LOOPS: Mapping[str, tuple[str, dict[str, str]]] = {
    "naive": ("naive", {}),
    "naive, one thread": ("naive", dict.fromkeys(ONE_THREAD, "1")),
    "bare": ("bare", {}),
}
ONE_PROCESS = ("naive", "naive, one thread")
SAME_FITS = ("regularize=reference", "augmentation=none")
NO_FIGURES = "tracking.figures=false"
FIGURES = "same fits, figures"
# Overrides of the command beyond those that say which rows and where to.
ASSAY: Mapping[str, tuple[str, ...]] = {
    "same fits": (*SAME_FITS, NO_FIGURES),
    FIGURES: SAME_FITS,
    "fast": ("preset=fast", *SAME_FITS, NO_FIGURES),
    "everything": (NO_FIGURES,),
    "fast everything": ("preset=fast", NO_FIGURES),
}
MODES: tuple[str, ...] = (*LOOPS, *ASSAY)
FITS = ("fit", "walk_forward", "augmentation")
LAST_LINES = 5
# One small table through the command, so that no compilation is counted.
WARM_UP = ("debug=quick", "tracking=sqlite", *SAME_FITS)


class ModeError(RuntimeError):
    """A contender that did not finish; the message ends with the last it said."""


def measured(mode: str, work: Work, n_processes: int, folder: Path) -> dict[str, Any]:
    """Run one contender from start to end; return its record.

    Parameters
    ----------
    n_processes : int
        Given to every contender but the naive loops, which are one process.
    folder : Path
        Keeps what the contender said.

    Raises
    ------
    ModeError
        If it did not finish, or a model is missing from what it found.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{mode.replace(', ', '_').replace(' ', '_')}.log"
    with tempfile.TemporaryDirectory(prefix="training-") as name:
        place = Path(name)
        command = _command(mode, work, n_processes, place)
        environment = assay_environment() | (LOOPS[mode][1] if mode in LOOPS else {})
        usage = used(command, cwd=place, environment=environment, log=log)
        if usage.exit_code != 0:
            said = " | ".join(log.read_text(errors="replace").strip().splitlines()[-LAST_LINES:])
            raise ModeError(f"{mode}: exit code {usage.exit_code}: {said}; all of it in {log}")
        found = _of_loop(place) if mode in LOOPS else _of_assay(place, work)
    n_expected = len(work.symbols) * len(MODELS)
    if len(found["fitted"]) != n_expected:
        raise ModeError(f"{mode}: {len(found['fitted'])} models, expected {n_expected}; see {log}")
    return {
        "work": work.digest,
        "mode": mode,
        "symbols": len(work.symbols),
        "processes": 1 if mode in ONE_PROCESS else n_processes,
        **asdict(usage),
        **found,
    }


def warm_up(work: Work, folder: Path) -> Usage:
    """Train one symbol with tiny models, so that compiled kernels are on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="training-") as name:
        place = Path(name)
        command = _assay_command((*WARM_UP, f"symbols=[{work.symbols[0]}]"), work, 1, place)
        return used(command, cwd=place, environment=assay_environment(), log=folder / "warm_up.log")


def assay_environment() -> dict[str, str]:
    """Return the environment without limits on threads: each contender sees to its own."""
    kept = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _command(mode: str, work: Work, n_processes: int, place: Path) -> list[str]:
    if mode in ASSAY:
        return assay_command(mode, work, n_processes, place)
    work.write(place / "work.json")
    files = [str(place / "work.json"), str(place / "found.json")]
    processes = [] if mode in ONE_PROCESS else [str(n_processes)]
    return [sys.executable, "-m", f"benchmarks.training.{LOOPS[mode][0]}", *files, *processes]


def assay_command(mode: str, work: Work, n_processes: int, place: Path) -> list[str]:
    """Return the command line of one of Assay's modes, everything it writes going to a folder."""
    own = (*ASSAY[mode], *epoch_overrides(work.max_epochs))
    return _assay_command(own, work, n_processes, place)


def _assay_command(own: Sequence[str], work: Work, n_processes: int, place: Path) -> list[str]:
    """Return the command as a user gives it; nobody reads the holdouts, so they stay sealed."""
    places = {
        "data.dir": work.tables,
        "output_dir": str(place / "out"),
        "manifest.path": str(place / "deploy" / "deployment_manifest.json"),
        "execution.workers": str(n_processes),
        "deploy.holdout": "sealed",
    }
    given = [f"{key}={value}" for key, value in places.items()]
    return [sys.executable, "-m", "pipelines.train_all", "data=table", *given, *own]


def _of_loop(place: Path) -> dict[str, Any]:
    found = json.loads((place / "found.json").read_text())
    fits_s = sum(one["cpu_s"] for one in found["fitted"])
    return {
        "fitted": found["fitted"],
        "fits_cpu_s": fits_s,
        "same_fits_cpu_s": fits_s,
        "tracking_cpu_s": found["tracking_cpu_s"],
        "parts_cpu_s": {},
    }


def _of_assay(place: Path, work: Work) -> dict[str, Any]:
    """Read the run's own account of its cost, and its predictions out of fold."""
    run = json.loads((place / "out" / "run.json").read_text())
    if run["tracking_failure"]:
        raise ModeError(f"tracking failed: {run['tracking_failure']}")
    costs = run["timings"]["cpu_seconds"]
    by_model = run["timings"]["cpu_seconds_by_model"]
    fitted = [
        _fitted(place / "out", symbol, model, run["timings"]["cpu_seconds_by_symbol_and_model"])
        for symbol in work.symbols
        for model in MODELS
        if run["symbols"][symbol]["models"][NAMES[model]]["status"] == "trained"
    ]
    return {
        "fitted": [asdict(one) for one in fitted],
        "fits_cpu_s": sum(costs[part] for part in FITS),
        "same_fits_cpu_s": sum(by_model[NAMES[model]][part] for model in MODELS for part in FITS),
        "tracking_cpu_s": costs["logging"],
        "parts_cpu_s": {**costs, "by_model": by_model},
    }


def _fitted(out: Path, symbol: str, model: str, costs: Mapping[str, Any]) -> Fitted:
    import polars as pl

    name = f"{symbol}_{NAMES[model]}"
    rows = pl.read_parquet(out / "predictions" / f"{name}.parquet")
    in_test_N = (rows["block"] == rows["block"].max()).to_numpy()
    test = slice(int(in_test_N.argmax()), len(rows))
    out_of_fold, in_test = losses(rows["label"].to_numpy(), rows["p"].to_numpy(), test)
    result = json.loads((out / "results" / f"{name}.json").read_text())
    cpu_s = sum(costs[symbol][NAMES[model]][part] for part in FITS)
    return Fitted(symbol, model, out_of_fold, in_test, [result["sizes"]["rounds"]], cpu_s)
