"""On noise: 11 symbols swept and trained with what the sweep found, and trained without.

Nothing is to be found there, so whatever is deployed is false. One promise covers the whole run,
with a sweep or not.
"""

import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.honesty.grids import SYMBOLS
from benchmarks.honesty.worlds import simulated
from benchmarks.sweeping.commands import Conf, composed, cpu_seconds
from benchmarks.training.work import NAMES
from selection.tuned_file import TunedFile, read_tuned

WORLDS = ("balanced", "overlapping")
MODELS = ("random_forest", "xgboost")
SEED = 71_993
ENDED_WELL = (0, 3)
COMMON = (
    "data=table",
    "data.dir=given",
    "tracking=none",
    "execution.workers=1",
    "deploy.holdout=sealed",
    *(f"~models.{name}" for name in NAMES if name not in MODELS),
    "~null_models.logistic",
    "~null_models.majority",
)
Command = Callable[[Mapping[str, Any]], int]


class RunError(RuntimeError):
    """A command that did not end well; the message ends with what it said."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What is drawn and swept.

    Attributes
    ----------
    n_rows : int
        Labelled rows of each symbol.
    n_trials : int
        Of each study.
    """

    n_rows: int
    n_trials: int

    @property
    def asked(self) -> dict[str, Any]:
        """What the measurements are known by."""
        return asdict(self)


def noise_run(asked: Noise, world: str, run: int) -> dict[str, Any]:
    """Draw 11 symbols without a signal, sweep and train them, and train them without the sweep.

    Returns
    -------
    dict
        By symbol the model deployed with the sweep (``tuned``) and without (``untuned``); how many
        ``studies`` there were, how many ``looked`` at the later blocks, how many were ``adopted``;
        the symbols where an adopted model took the council's place (``placed``); CPU and wall
        seconds of each command.
    """
    with tempfile.TemporaryDirectory(prefix="sweeping-") as name, contextlib.chdir(name):
        folder = Path(name)
        seed = _draw(asked, world, run, folder / "data")
        took: dict[str, dict[str, float]] = {}
        with _told(took, "untuned"):
            without = _deployed(folder, seed, "untuned", None)
        # Finds the default's fits where that run has put them.
        with _told(took, "sweep"):
            _swept(asked, folder, seed)
        tuned = read_tuned(folder / "sweep" / "tuned.json")
        with _told(took, "tuned"):
            with_sweep = _deployed(folder, seed, "tuned", folder / "sweep" / "tuned.json")
    return {"tuned": with_sweep, "untuned": without, **counted(tuned, with_sweep), "took": took}


def counted(tuned: TunedFile, deployed: Mapping[str, str | None]) -> dict[str, Any]:
    """Count what became of a sweep's studies, and where an adopted model is deployed."""
    studies = [one for models in tuned.studies.values() for one in models.values()]
    adopted = {(one.symbol, one.model) for one in studies if one.adopted}
    return {
        "studies": len(studies),
        "looked": sum(one.adoption is not None for one in studies),
        "adopted": len(adopted),
        "placed": sorted(one for one in deployed if (one, deployed[one]) in adopted),
        "trials": {
            ending: sum(one.trials[ending] for one in studies)
            for ending in ("complete", "pruned", "failed")
        },
    }


def _draw(asked: Noise, world: str, run: int, folder: Path) -> int:
    """Write the tables of a run; return the seed of its commands."""
    place = np.random.SeedSequence(SEED, spawn_key=(WORLDS.index(world), asked.n_rows, run))
    *rngs, last = (np.random.default_rng(one) for one in place.spawn(len(SYMBOLS) + 1))
    folder.mkdir()
    for symbol, rng in zip(SYMBOLS, rngs, strict=True):
        # Nobody is held against the truth: every answer is as good as any other.
        table = simulated(world, rng, asked.n_rows, n_fresh=1).table(symbol)
        table.write_parquet(folder / f"{symbol}.parquet")
    return int(last.integers(2**31))


def _swept(asked: Noise, folder: Path, seed: int) -> None:
    from pipelines.sweep import sweep

    own = (f"sweep.models=[{','.join(MODELS)}]", f"sweep.n_trials={asked.n_trials}")
    conf = _placed(composed("sweep", [*COMMON, *own]), folder, seed, "sweep")
    conf["output_dir"] = str(folder / "sweep")
    _ended(sweep, conf)


def _deployed(folder: Path, seed: int, name: str, tuned: Path | None) -> dict[str, str | None]:
    """Train, with what a sweep found or without; return by symbol which model is deployed."""
    from pipelines.train_all import train_all

    conf = composed("train_all", COMMON)
    conf["tuned"] = None if tuned is None else str(tuned)
    _ended(train_all, _placed(conf, folder, seed, name))
    manifest = json.loads((folder / name / "deploy" / "manifest.json").read_text())
    selections = manifest["selections"]
    return {symbol: selections[symbol]["selected_model"] for symbol in SYMBOLS}


def _placed(conf: Conf, folder: Path, seed: int, name: str) -> Conf:
    """Point a command to a run's tables, and to a manifest of its own."""
    conf["data"]["dir"] = str(folder / "data")
    conf["manifest"]["path"] = str(folder / name / "deploy" / "manifest.json")
    conf["seed"] = seed
    return conf


def _ended(command: Command, conf: Conf) -> None:
    """Run a command in this process; what it prints is kept for the case that it fails."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = command(conf)
    if code not in ENDED_WELL:
        lines = " / ".join(said.getvalue().strip().splitlines()[-5:])
        raise RunError(f"{command.__name__} ended with exit code {code}: {lines}")


@contextlib.contextmanager
def _told(took: dict[str, dict[str, float]], name: str) -> Iterator[None]:
    wall_s, cpu_s = time.monotonic(), cpu_seconds()
    yield
    took[name] = {"wall_s": time.monotonic() - wall_s, "cpu_s": cpu_seconds() - cpu_s}
