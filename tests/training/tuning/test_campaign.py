"""All studies of a sweep: the same trials and verdicts wherever they run, and what goes wrong.

Each has a hint that is right so often; the model believes in it more than that is worth, or less.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from market.splits import Split, known_before
from models.base import Model
from selection.holdout_ledger import HoldoutLedger
from selection.tuned_file import TunedFile, read_tuned, write_tuned
from tests.training.spies import Believer, hinted, task, walked
from tests.training.tuning.studies import Frail
from training.pool import Gone, Pool, ThisProcess, Workers
from training.task import Failure
from training.tuning.campaign import Campaign, Plan, Rules, attempt_of
from training.tuning.jobs import Jobs
from training.tuning.space import Range, SearchSpace
from training.tuning.storage import open_journal
from training.tuning.study import MADE, Search, Study
from training.tuning.trial import Attempt
from training.tuning.verdicts import NO_TIME, Verdicts
from training.worker import NoRoom

N_ROWS = 400
# Right 7 times of 10, 9 times of 10, and as often as not.
SOME, MUCH, NONE = 0.7, 0.9, 0.5


def right(share: float) -> Split:
    """Return a walk-forward over rows whose hints are right so often, evenly."""
    return walked(hinted((np.arange(N_ROWS) * 7) % 10 < 10 * share))


def plan(folder: Path, storage: Any, symbol: str, share: float, model: Model, **rules: Any) -> Plan:
    split = right(share)
    given: dict[str, Any] = {
        "sampler": "random",
        "n_trials": 6,
        "n_random": 5,
        "at_once": 2,
        "fold_share": 0.5,
        "epoch_share": 1.0,
        "prune_from": 4,
    }
    own = model.hyperparameters["belief"]
    study = Study(
        storage,
        f"{symbol}_{model.name}_1f2e",
        symbol=symbol,
        model=model.name,
        space=SearchSpace(model, {"belief": Range(0.01, own, log=True)}, unbounded=False),
        search=Search(**{**given, **rules}),
        starts=[model.hyperparameters],
        seed=7,
    )
    work = task(split, folder / symbol, model, symbol=symbol)
    return Plan(study, work, known_before(split, 4), 4, "real")


@contextmanager
def workers_of(n_workers: int) -> Iterator[Workers]:
    workers: Workers = ThisProcess([]) if n_workers == 1 else Pool(n_workers, [], None)
    try:
        yield workers
    finally:
        workers.end()


@dataclass
class Wanted:
    """A symbol, how often its hints are right, and its model."""

    symbol: str
    share: float
    model: Model


TOO_SURE = Wanted("EURUSD", SOME, Believer(belief=6.0))
AT_ITS_BEST = Wanted("GBPUSD", MUCH, Believer(belief=1.0))


def swept(
    folder: Path,
    *wanted: Wanted,
    n_workers: int = 1,
    budget_s: float | None = None,
    **changes: Any,
) -> SimpleNamespace:
    """Make all trials and compare what they found, in a folder that a sweep may have begun in."""
    folder.mkdir(exist_ok=True)
    storage = open_journal(folder / "journal.log")
    plans = [plan(folder, storage, one.symbol, one.share, one.model, **changes) for one in wanted]
    rules = Rules(0.02, 0.05, 600.0, 20.0, folder / "looks.jsonl", shared=False)
    with workers_of(n_workers) as workers:
        campaign = Campaign(plans, rules, workers, n_workers, budget_s)
        trials = list(campaign.trials())
        turns, until_s = campaign.turns, campaign.until_s
        decided = list(Verdicts(plans, rules, workers, n_workers, turns, until_s))
    found = {one.plan.study.symbol: one.tuned for one in decided}
    assert len(found) == len(decided) == len(plans)
    return SimpleNamespace(
        plans=plans, trials=trials, found=found, looks=HoldoutLedger(rules.looks).recorded()
    )


def figures(one: SimpleNamespace) -> dict[tuple[str, int], Any]:
    """Return of every trial what it came to."""
    return {
        (ended.plan.study.symbol, ended.asked.number): (
            ended.asked.hyperparameters,
            ended.attempt.state,
            ended.attempt.values,
        )
        for ended in one.trials
    }


def test_a_sweep_comes_to_the_same_in_this_process_and_with_two_workers(tmp_path: Path) -> None:
    alone, side_by_side = (
        swept(tmp_path / str(n), TOO_SURE, AT_ITS_BEST, n_workers=n) for n in (1, 2)
    )
    assert figures(alone) == figures(side_by_side)
    assert alone.found == side_by_side.found
    assert len(alone.trials) == 12
    assert {ended.attempt.state for ended in alone.trials} == {"complete", "pruned"}


def test_what_is_truly_better_is_adopted_and_the_blocks_it_was_shown_on_are_written_down(
    tmp_path: Path,
) -> None:
    one = swept(tmp_path, TOO_SURE)
    tuned, (look,) = one.found["EURUSD"], one.looks
    assert tuned.adopted
    assert tuned.adoption is not None
    assert (tuned.adoption.look, tuned.adoption.rows) == (1, 80)
    assert 0.01 < tuned.hyperparameters["belief"] < 3.0
    development = one.plans[0].default.split.development
    since = np.datetime64(tuned.tuned_until.replace(tzinfo=None), "us")
    assert since == development.t0_N[320]
    assert (look.symbol, look.model, look.start_utc) == ("EURUSD", "Believer", tuned.tuned_until)
    assert np.datetime64(look.end_utc.replace(tzinfo=None), "us") == development.t0_N[-1]
    assert tuned.trials == one.plans[0].study.counts()
    assert tuned.reason.startswith("gains ")


def test_where_nothing_is_better_than_the_default_nobody_looks_at_the_later_blocks(
    tmp_path: Path,
) -> None:
    one = swept(tmp_path, AT_ITS_BEST)
    tuned = one.found["GBPUSD"]
    assert one.looks == []
    assert (tuned.adopted, tuned.adoption, tuned.later) == (False, None, None)
    assert tuned.reason == "no trial was better than the default on blocks 1 to 4"
    assert tuned.cross_validated is not None
    assert tuned.cross_validated.tuned == tuned.cross_validated.default
    assert tuned.hyperparameters == AT_ITS_BEST.model.hyperparameters


def test_what_was_found_is_what_a_file_of_it_says(tmp_path: Path) -> None:
    found = swept(tmp_path, TOO_SURE, AT_ITS_BEST).found
    studies = {symbol: {tuned.model: tuned} for symbol, tuned in found.items()}
    when = found["EURUSD"].tuned_until
    file = TunedFile(when, simulated=False, seed=7, definitions={}, studies=studies)
    write_tuned(tmp_path / "tuned.json", file)
    assert read_tuned(tmp_path / "tuned.json").studies == studies


def test_a_sweep_that_ended_begun_again_makes_no_trial_and_looks_no_second_time(
    tmp_path: Path,
) -> None:
    first, again = (swept(tmp_path, TOO_SURE, n_trials=3) for _ in range(2))
    assert len(first.trials) == 3
    assert again.trials == []
    assert again.found == first.found
    assert again.looks == first.looks
    more = swept(tmp_path, TOO_SURE)
    assert len(more.trials) == 3
    looked = more.found["EURUSD"].adoption
    assert (looked.look, looked.alpha) == (2, 0.025)
    assert len(more.looks) == 2


def test_a_worker_that_dies_is_its_trials_failure_and_the_others_go_on(tmp_path: Path) -> None:
    frail = Wanted("USDJPY", SOME, Frail(belief=6.0, dies_below=0.3))
    one = swept(tmp_path, frail, TOO_SURE, n_workers=2)
    failed = [ended for ended in one.trials if ended.attempt.state == "failed"]
    assert {ended.plan.study.symbol for ended in failed} == {"USDJPY"}
    assert {ended.asked.hyperparameters["belief"] < 0.3 for ended in failed} == {True}
    assert "the worker process died" in str(failed[0].attempt.error)
    tuned = one.found["USDJPY"]
    assert tuned.trials["failed"] == len(failed) > 0
    assert sum(tuned.trials.values()) == 6
    assert one.found["EURUSD"] == swept(tmp_path / "alone", TOO_SURE).found["EURUSD"]


def test_a_model_that_never_fits_is_told_with_its_first_error(tmp_path: Path) -> None:
    Believer.fails = lambda fit: fit.belief < 7
    lost = swept(tmp_path, TOO_SURE).found["EURUSD"]
    assert lost.reason.startswith("no trial was completed: fold 1: lost belief 6.0")
    assert (lost.adopted, lost.best_trial, lost.cross_validated) == (False, None, None)
    assert lost.trials == {"complete": 0, "pruned": 0, "failed": 6}


def test_a_default_that_cannot_be_fitted_is_told_and_nothing_is_adopted(tmp_path: Path) -> None:
    # Its trials see neither the last blocks nor the deployed fit.
    Believer.fails = lambda fit: len(fit.train) > 320
    one = swept(tmp_path, TOO_SURE)
    tuned = one.found["EURUSD"]
    assert not tuned.adopted
    assert one.looks == []
    assert tuned.reason.startswith("the default could not be fitted: ")
    assert "lost belief 6.0" in tuned.reason


def test_where_no_look_can_be_written_down_nothing_is_adopted(tmp_path: Path) -> None:
    ledger = tmp_path / "looks.jsonl"
    ledger.write_text("no opening\n", encoding="utf-8")
    storage = open_journal(tmp_path / "journal.log")
    one = plan(tmp_path, storage, "EURUSD", SOME, TOO_SURE.model)
    rules = Rules(0.02, 0.05, 600.0, 20.0, ledger, shared=False)
    with workers_of(1) as workers:
        campaign = Campaign([one], rules, workers, 1, None)
        assert len(list(campaign.trials())) == 6
        (decided,) = Verdicts([one], rules, workers, 1, campaign.turns, None)
    assert not decided.tuned.adopted
    assert (decided.tuned.later, decided.tuned.adoption) == (None, None)
    assert decided.tuned.reason.startswith(f"blocks 5 and 6 stay unseen: {ledger}, line 1: ")


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_full_disk_ends_the_sweep(n_workers: int, tmp_path: Path) -> None:
    full = Wanted("USDJPY", SOME, Frail(belief=6.0, full_below=7.0))
    with pytest.raises(OSError, match="units/a"):
        swept(tmp_path, full, n_workers=n_workers)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_without_time_nothing_is_begun_and_every_study_is_told_so(
    n_workers: int, tmp_path: Path
) -> None:
    one = swept(tmp_path, TOO_SURE, AT_ITS_BEST, n_workers=n_workers, budget_s=1e-9)
    assert one.trials == []
    assert {tuned.reason for tuned in one.found.values()} == {NO_TIME}
    assert {tuned.n_trials for tuned in one.found.values()} == {0}
    swept(tmp_path, TOO_SURE, AT_ITS_BEST)
    late = swept(tmp_path, TOO_SURE, AT_ITS_BEST, n_trials=9, budget_s=1e-9).found
    assert late["EURUSD"].reason == "no time was left to compare it with the default"
    assert late["GBPUSD"].reason == "no trial was better than what it was started with"


def test_with_time_enough_a_budget_changes_which_trials_come_first_and_nothing_else(
    tmp_path: Path,
) -> None:
    plain = swept(tmp_path / "plain", TOO_SURE, AT_ITS_BEST)
    timed = swept(tmp_path / "timed", TOO_SURE, AT_ITS_BEST, budget_s=600.0)
    assert figures(plain) == figures(timed)
    assert plain.found == timed.found
    assert [ended.plan.study.symbol for ended in plain.trials] == ["EURUSD"] * 6 + ["GBPUSD"] * 6
    assert {ended.plan.study.symbol for ended in timed.trials[:2]} == {"EURUSD", "GBPUSD"}


def test_a_sweep_that_is_interrupted_gives_its_trials_back(tmp_path: Path) -> None:
    storage = open_journal(tmp_path / "journal.log")
    one = plan(tmp_path, storage, "EURUSD", SOME, TOO_SURE.model)
    rules = Rules(0.02, 0.05, 600.0, 20.0, tmp_path / "looks.jsonl", shared=False)
    with workers_of(2) as workers:
        campaign = Campaign([one], rules, workers, 2, None)
        next(campaign.trials())
        campaign.give_back()
    states = [trial.state.name for trial in one.study.optuna_study.get_trials(deepcopy=False)]
    assert "RUNNING" not in states
    undisturbed = swept(tmp_path / "undisturbed", TOO_SURE)
    again = swept(tmp_path, TOO_SURE)
    assert again.found["EURUSD"].trials == undisturbed.found["EURUSD"].trials
    best = again.plans[0].study.best()
    assert best is not None
    assert best.user_attrs[MADE] == undisturbed.plans[0].study.best().user_attrs[MADE]


def test_whatever_a_worker_says_is_a_trials_end_or_none() -> None:
    gone = attempt_of(Gone("its worker died", may_pass=True))
    lost = attempt_of(Failure("no rows", (), (), 0.0, None))
    assert gone is not None
    assert lost is not None
    assert (gone.state, gone.error) == ("failed", "its worker died")
    assert (lost.state, lost.error) == ("failed", "no rows")
    assert attempt_of(None) is None
    assert attempt_of(done := Attempt("complete", (0.6,))) is done


class Told:
    """A worker that says one thing after another of whatever it is given."""

    def __init__(self, *said: object) -> None:
        self._said, self._job = list(said), None
        self.n_free = 1

    def give(self, waiting: Any) -> None:
        self._job = waiting.popleft() if waiting else self._job

    def told(self, patience_s: float) -> Any:
        yield self._job, self._said.pop(0)


def test_a_job_whose_worker_dies_is_begun_once_more_and_then_its_death_is_told() -> None:
    gone = Gone("its worker died", may_pass=True)
    jobs: Jobs[str] = Jobs(Told(gone, gone), 1.0)  # type: ignore[arg-type]
    job = object()
    jobs.add(job, "EURUSD")  # type: ignore[arg-type]
    jobs.give()
    assert list(jobs.told()) == []
    jobs.give()
    assert len(jobs) == 1
    assert list(jobs.told()) == [("EURUSD", job, gone)]
    assert len(jobs) == 0


def test_a_full_disk_ends_everything() -> None:
    jobs: Jobs[str] = Jobs(Told(NoRoom(28, "No space left on device", "units/a")), 1.0)  # type: ignore[arg-type]
    jobs.add(object(), "EURUSD")  # type: ignore[arg-type]
    jobs.give()
    with pytest.raises(OSError, match="units/a"):
        list(jobs.told())
