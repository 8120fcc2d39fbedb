"""What a trial costs in the command, its workers, storage and tracking included, and bare."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.honesty.runner import one_core_pool
from benchmarks.sweeping.bare import Fitted, fitted_trials
from benchmarks.sweeping.commands import CommandError, prepared_symbol, run
from benchmarks.sweeping.report import LONG, SHORT
from benchmarks.training.work import NAMES
from selection.tuned_file import read_tuned
from training.tuning.storage import open_journal
from training.tuning.study import MADE

JOURNAL = "journal.log"


@dataclass(frozen=True, slots=True)
class Tried:
    """What one trial tried, and the log-loss that the sweep found."""

    hyperparameters: dict[str, Any]
    log_loss: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """What is swept.

    Attributes
    ----------
    model : str
        As ``sweep.models`` names it.
    symbols : tuple of str
    data : str or None
        Folder of price files; None simulates ``n_bars``.
    n_bars : int
    tracking : str
        Option of ``conf/tracking``.
    workers : int
        Of the command, and processes of the bare loop.
    short, long : int
        Trials of each study, in two sweeps.
    """

    model: str
    symbols: tuple[str, ...]
    data: str | None
    n_bars: int
    tracking: str
    workers: int
    short: int
    long: int

    @property
    def asked(self) -> dict[str, Any]:
        """What the measurements are known by."""
        source = f"{self.n_bars} simulated bars" if self.data is None else "real bars"
        return {**asdict(self), "source": source}

    @property
    def lengths(self) -> dict[str, int]:
        """Trials of each study, by the name of the sweep."""
        return {SHORT: self.short, LONG: self.long}

    @property
    def overrides(self) -> list[str]:
        """Return what makes a command use these rows."""
        if self.data is None:
            data = ["data=demo", f"data.n_bars={self.n_bars}"]
        else:
            data = ["data=bars", f"data.dir={self.data}"]
        # Read anew each time, by both sweeps alike.
        return [*data, "data.cache=null", f"symbols=[{','.join(self.symbols)}]"]


def measured(asked: Throughput, n_trials: int, logs: Path) -> dict[str, Any]:
    """Let the command sweep, then make the fits of its very trials in a bare loop.

    Nothing is pruned, so that both make the same fits: ``largest_difference`` says how far apart
    the two log-losses of any trial are.
    """
    with tempfile.TemporaryDirectory(prefix="sweeping-") as name:
        folder = Path(name)
        own = {
            "sweep.models": f"[{asked.model}]",
            "sweep.n_trials": n_trials,
            "sweep.pruner": "none",
            "execution.workers": asked.workers,
            "tracking": asked.tracking,
            "output_dir": folder / "out",
        }
        overrides = [*asked.overrides, *(f"{key}={value}" for key, value in own.items())]
        usage = run("sweep", overrides, cwd=folder, log=logs / f"sweep_{n_trials}.log")
        trials = {symbol: _trials(folder / "out", asked, symbol) for symbol in asked.symbols}
    bare = _bare(asked, trials)
    return {
        "trials": sum(map(len, trials.values())),
        "sweep_cpu_s": usage.cpu_s,
        "sweep_wall_s": usage.wall_s,
        "bare_cpu_s": sum(one.cpu_s for _, one in bare),
        "scoring_cpu_s": sum(one.scoring_cpu_s for _, one in bare),
        "largest_difference": max(
            abs(trial.log_loss - again)
            for share, one in bare
            for trial, again in zip(share, one.log_losses, strict=True)
        ),
    }


def _trials(out: Path, asked: Throughput, symbol: str) -> list[Tried]:
    """Return what each trial of a study tried, from the study's storage."""
    from optuna import load_study
    from optuna.trial import TrialState

    found = read_tuned(out / "tuned.json").found(symbol, NAMES[asked.model])
    if found is None:
        raise CommandError(f"{symbol}: was not swept; see the sweep's log")
    study = load_study(study_name=found.study, storage=open_journal(out / JOURNAL))
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [Tried(one.user_attrs[MADE], one.user_attrs["log_loss"]) for one in done]


def _bare(asked: Throughput, trials: Mapping[str, list[Tried]]) -> list[tuple[list[Tried], Fitted]]:
    """Make the fits in as many processes as the command had, each with its share of the trials."""
    shares = [
        (symbol, own[first :: asked.workers])
        for symbol, own in trials.items()
        for first in range(min(asked.workers, len(own)))
    ]
    with one_core_pool(asked.workers) as pool:
        jobs = [pool.submit(fitted, asked, symbol, share) for symbol, share in shares]
        return [(share, job.result()) for (_, share), job in zip(shares, jobs, strict=True)]


def fitted(asked: Throughput, symbol: str, trials: list[Tried]) -> Fitted:
    """Make the fits of some trials; reading the rows is not counted."""
    overrides = [*asked.overrides, "tracking=none", "manifest.path=unused.json"]
    settings, prepared = prepared_symbol(overrides, symbol)
    model = next(one for one in settings.models if one.name == NAMES[asked.model])
    return fitted_trials(
        symbol,
        model,
        prepared.split,
        [trial.hyperparameters for trial in trials],
        seed=settings.seed,
        early_stopping_fraction=settings.training.early_stopping_fraction,
    )
