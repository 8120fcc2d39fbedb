"""A sweep in the store: study beneath sweep, trial beneath study, each once whatever happens."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tracking.conftest import NO_FACTS, fill_the_disk, new_tracker, reading_client
from tests.tracking.sample_records import (
    BEGUN_UTC,
    STUDY,
    full_record,
    new_run,
    study_record,
    trial_record,
)
from tests.tracking.test_queue import quietly_synced
from tracking.calls import TRIALS_PER_CALL, Trials
from tracking.kept_calls import keep_call, kept_call

# Reading back calls MLflow directly, which calls parts of SQLAlchemy that are on their way out.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

REPOSITORY = Path(__file__).resolve().parents[2]
STATES = ("complete", "pruned", "failed")


def tracker_in(folder):
    return new_tracker(f"sqlite:///{folder}/mlflow.db")


def runs_by_name(folder):
    """Return the store's runs by name, of which no two have the same."""
    client = reading_client(folder)
    runs = client.search_runs([client.get_experiment_by_name("train_all").experiment_id])
    by_name = {run.info.run_name: run for run in runs}
    assert len(by_name) == len(runs)
    return by_name


def swept(tracker, run, folder, numbers):
    """Track a sweep from beginning to end."""
    tracker.start(run)
    tracker.log_trials(STUDY, [trial_record(number) for number in numbers])
    tracker.log_study(study_record(folder))
    tracker.finish(**NO_FACTS, status="FINISHED")


def assert_whole(folder, run, n_trials):
    """Assert that the sweep stands there once, with all its trials beneath its one study."""
    runs = runs_by_name(folder)
    parent, study = runs.pop(run.name), runs.pop("EURUSD RandomForest")
    assert study.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert study.data.metrics == {"best_objective": 0.6}
    assert set(runs) == {f"EURUSD RandomForest trial {number}" for number in range(n_trials)}
    beneath = {one.data.tags["mlflow.parentRunId"] for one in runs.values()}
    assert beneath == {study.info.run_id}
    assert {one.info.status for one in (parent, study, *runs.values())} == {"FINISHED"}


@pytest.fixture(scope="module")
def sweep(empty_store, tmp_path_factory):
    """The runs of a sweep with a trial of each state, and of a model of the same name."""
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    tracker = tracker_in(folder)
    tracker.start(new_run())
    tracker.log_trials(STUDY, [trial_record(i, state=state) for i, state in enumerate(STATES)])
    tracker.log_study(study_record(folder))
    tracker.log_model(replace(full_record(folder), symbol="GBPUSD"))
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert tracker.failure is None
    return folder, runs_by_name(folder)


def test_a_trial_shows_its_params_figures_state_and_span(sweep):
    run = sweep[1]["EURUSD RandomForest trial 0"]
    assert run.data.params == {"max_depth": "0", "hidden": "[64, 32]"}
    assert run.data.metrics == {"objective": 0.6, "gap": 0.02}
    facts = {"symbol": "EURUSD", "model": "RandomForest", "trial": "0", "state": "complete"}
    assert run.data.tags.items() >= facts.items()
    assert run.info.start_time == BEGUN_UTC.timestamp() * 1000
    assert run.info.end_time - run.info.start_time == 1000


def test_a_pruned_trial_is_finished_and_keeps_the_objective_after_each_fold(sweep):
    folder, runs = sweep
    run = runs["EURUSD RandomForest trial 1"]
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "pruned")
    history = reading_client(folder).get_metric_history(run.info.run_id, "objective_so_far")
    assert {one.step: one.value for one in history} == {1: 0.7, 2: 0.65}


def test_a_failed_trial_has_failed_with_its_reason(sweep):
    run = sweep[1]["EURUSD RandomForest trial 2"]
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "loss was NaN")


def test_a_study_holds_its_trials_and_what_came_of_it(sweep):
    folder, runs = sweep
    study, client = runs["EURUSD RandomForest"], reading_client(folder)
    beneath = f"tags.`mlflow.parentRunId` = '{study.info.run_id}'"
    assert len(client.search_runs([study.info.experiment_id], beneath)) == len(STATES)
    assert study.data.params == {"max_depth": "0"}
    shown = {"verdict": "adopted", "mlflow.note.content": "Adopted: **0.60**"}
    assert study.data.tags.items() >= shown.items()
    assert [one.path for one in client.list_artifacts(study.info.run_id, "plots")] == [
        "plots/history.png"
    ]


@pytest.mark.parametrize(
    "of", [lambda folder: Trials(STUDY, (trial_record(3, state="pruned"),)), study_record]
)
def test_a_study_and_its_trials_come_back_from_disk_as_they_were(of, tmp_path):
    call = of(tmp_path)
    keep_call(tmp_path / "000001-call", call)
    read = kept_call(tmp_path / "000001-call")
    if not isinstance(call, Trials):
        ((picture, _),) = read.artifacts
        assert picture.read_bytes() == b"\x89PNG"
        read = replace(read, artifacts=call.artifacts)
    assert read == call


def test_a_sweep_without_a_store_waits_in_few_records_and_is_delivered_once(store_folder):
    database, n_trials = store_folder / "mlflow.db", TRIALS_PER_CALL + 5
    database.rename(store_folder / "away.db")
    database.mkdir()
    tracker, run = tracker_in(store_folder), new_run()
    swept(tracker, run, store_folder, range(n_trials))
    assert tracker.waiting == 5
    database.rmdir()
    (store_folder / "away.db").rename(database)
    first, second = quietly_synced(tracker), quietly_synced(tracker)
    assert [(one.delivered, one.waiting) for one in first.sessions] == [(5, 0)]
    assert second.sessions == []
    assert_whole(store_folder, run, n_trials)


def test_a_batch_that_the_store_takes_in_part_is_completed(store_folder, monkeypatch):
    from mlflow import MlflowClient

    tracker, run, ends = tracker_in(store_folder), new_run(), []
    end = MlflowClient.set_terminated

    def fail_once(*arguments):
        ends.append(arguments)
        return fill_the_disk() if len(ends) == 3 else end(*arguments)

    monkeypatch.setattr(MlflowClient, "set_terminated", fail_once)
    swept(tracker, run, store_folder, range(6))
    assert (tracker.failure, tracker.waiting) == (None, 0)
    assert_whole(store_folder, run, 6)


def test_a_sweep_that_was_killed_in_a_trial_goes_on_in_the_same_study(store_folder, monkeypatch):
    uri, run = f"sqlite:///{store_folder}/mlflow.db", replace(new_run(), name="resumed")
    script = [sys.executable, "-m", "tests.tracking.log_some_trials", uri, run.execution]
    assert subprocess.run(script, cwd=REPOSITORY, check=False).returncode == -9
    left = runs_by_name(store_folder)
    assert {one.info.status for one in left.values()} == {"FINISHED", "RUNNING"}
    # Few enough to need several pages.
    monkeypatch.setattr("tracking.found._PAGE", 2)
    swept(tracker_in(store_folder), run, store_folder, range(5))
    runs = runs_by_name(store_folder)
    assert all(runs[name].info.run_id == one.info.run_id for name, one in left.items())
    old = next(one for one in runs.values() if "resumed_by" in one.data.tags)
    assert old.info.status == "KILLED"
    reading_client(store_folder).delete_run(old.info.run_id)
    assert_whole(store_folder, run, 5)


def test_a_sweep_told_twice_changes_nothing_but_whose_it_is(store_folder):
    run = new_run()
    for name in ("first", "second"):
        swept(tracker_in(store_folder), replace(run, name=name), store_folder, range(3))
    runs = runs_by_name(store_folder)
    assert runs.pop("first").data.tags["resumed_by"] == runs["second"].info.run_id
    assert len(runs) == 5
    study = runs["EURUSD RandomForest"]
    assert study.data.tags["mlflow.parentRunId"] == runs["second"].info.run_id


def test_trials_after_the_end_of_a_study_stand_beneath_a_new_run(store_folder):
    tracker = tracker_in(store_folder)
    tracker.start(new_run())
    tracker.log_trials(STUDY, [trial_record(0)])
    tracker.log_study(study_record(store_folder))
    tracker.log_trials(STUDY, [trial_record(number) for number in (0, 1)])
    tracker.finish(**NO_FACTS, status="FINISHED")
    client = reading_client(store_folder)
    experiment = client.get_experiment_by_name("train_all").experiment_id
    found = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    by_id = {run.info.run_id: run for run in found}
    studies = {
        run.info.run_name: by_id[run.data.tags["mlflow.parentRunId"]].info.status
        for run in found
        if "trial" in run.data.tags
    }
    assert studies == {
        "EURUSD RandomForest trial 0": "FINISHED",
        "EURUSD RandomForest trial 1": "KILLED",
    }


def test_a_study_and_a_model_of_one_name_are_told_apart_when_work_goes_on(store_folder):
    run = new_run()
    for number in range(2):
        tracker = tracker_in(store_folder)
        tracker.start(replace(run, name=str(number)))
        tracker.log_trials(STUDY, [trial_record(0)])
        tracker.log_study(study_record(store_folder))
        logged = tracker.log_model(full_record(store_folder / str(number)))
        tracker.finish(**NO_FACTS, status="FINISHED")
    assert (logged.version, tracker.failure) == ("1", None)
    client = reading_client(store_folder)
    experiment = client.get_experiment_by_name("train_all").experiment_id
    assert len(client.search_runs([experiment])) == 5
