"""A sweep as the tracker is told of it: trials in batches, each study with its plots at its end."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines import records
from pipelines.sweep_records import PLOTS, study_record, trial_record
from selection.tuned_file import TunedModel
from tracking.failures import without_password
from tracking.records import Status, StudyKey
from tracking.tracker import NoTracker, Tracker
from training.tuning.campaign import Plan, TrialEnded
from training.tuning.plots import write_plots
from training.tuning.verdicts import blocks_in_words

BATCH = 32
BATCH_S = 20.0


class SweepTracking:
    """Tells the tracker what happens in a sweep.

    Parameters
    ----------
    tracker : Tracker
    conf : mapping
        Of the command.
    n_seen : int
        Number of blocks that trials see.
    simulated : bool
    shared : bool
        Whether others' trials are in the same studies; they are left to them.
    """

    def __init__(
        self,
        tracker: Tracker,
        conf: Mapping[str, Any],
        n_seen: int,
        *,
        simulated: bool,
        shared: bool,
    ) -> None:
        self._tracker, self._conf, self._n_seen = tracker, conf, n_seen
        self._simulated, self._shared = simulated, shared
        self._started = datetime.now(UTC)
        self._due: dict[Plan, set[int]] = {}
        self._since_s = time.monotonic()
        self._end: dict[str, Any] = {"metrics": {}, "tags": {}, "artifacts": []}

    @contextmanager
    def run(self, execution: str, plans: Sequence[Plan], n_symbols: int) -> Iterator[None]:
        """Open the sweep's run, and end it with the block."""
        name = records.run_name(
            str(self._conf["name"]),
            self._started,
            n_symbols=n_symbols,
            n_selected=None,
            simulated=self._simulated,
        )
        start = records.run_start(
            name, _shown(self._conf), simulated=self._simulated, execution=execution
        )
        status: Status = "FAILED"
        try:
            self._tracker.start(start)
            if not self._shared:
                # What an earlier start had no time to tell.
                self._due = {plan: plan.study.ended() for plan in plans}
            yield
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            self._tracker.finish(**self._end, status=status)

    def ended(self, ended: TrialEnded) -> None:
        """Take note of a trial; the tracker is told when there are some."""
        self._due.setdefault(ended.plan, set()).add(ended.asked.number)
        n_due = sum(len(numbers) for numbers in self._due.values())
        if n_due >= BATCH or time.monotonic() - self._since_s > BATCH_S:
            self.flush()

    def flush(self) -> None:
        """Tell the tracker of the trials that have ended."""
        if isinstance(self._tracker, NoTracker):
            return
        for plan, numbers in self._due.items():
            known = plan.study.frozen(numbers)
            if known:
                told = [trial_record(one) for one in known]
                self._tracker.log_trials(_key(plan), told)
                numbers -= {one.number for one in known}
        self._since_s = time.monotonic()

    def finish(
        self, plans: Sequence[Plan], found: Mapping[tuple[str, str], TunedModel], folder: Path
    ) -> None:
        """Draw each study's plots, and tell the tracker what came of all."""
        self.flush()
        for plan in plans:
            symbol, model = plan.key
            pictures = write_plots(
                plan.study.optuna_study,
                folder / PLOTS / f"{symbol}_{model}",
                symbol=symbol,
                model=model,
                blocks=blocks_in_words(1, self._n_seen),
            )
            record = study_record(
                found[plan.key],
                started=self._started,
                ended=datetime.now(UTC),
                simulated=self._simulated,
                n_seen=self._n_seen,
                pictures=pictures,
            )
            self._tracker.log_study(record)
        n_adopted = sum(one.adopted for one in found.values())
        n_trials = sum(one.n_trials for one in found.values())
        self._end = {
            "metrics": {"studies": len(found), "adopted": n_adopted, "trials": n_trials},
            "tags": {"adopted": ", ".join(_adopted(found)) or "none"},
            "artifacts": [(folder / name, "") for name in ("tuned.json", "sweep.csv")],
        }


def _key(plan: Plan) -> StudyKey:
    symbol, model = plan.key
    return StudyKey(symbol, model, plan.study.name)


def _adopted(found: Mapping[tuple[str, str], TunedModel]) -> list[str]:
    return [f"{symbol} {model}" for (symbol, model), one in found.items() if one.adopted]


def _shown(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as it may be shown: a database is named without its password."""
    own = conf["sweep"]
    url = None if own["storage"] is None else without_password(own["storage"])
    return {**conf, "sweep": {**own, "storage": url}}
