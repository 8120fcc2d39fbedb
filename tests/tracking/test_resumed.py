"""Work that was cut off and goes on: one parent holds every model once, none stays RUNNING."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tracking.conftest import NO_FACTS, broken_data, new_tracker, reading_client
from tests.tracking.sample_records import bare_record, failed_record, full_record, new_run

# Reading back calls MLflow directly, which calls parts of SQLAlchemy that are on their way out.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

REPOSITORY = Path(__file__).resolve().parents[2]
CUT_OFF = """
import sys, time
from dataclasses import replace
from pathlib import Path
from tests.tracking.conftest import broken_data, new_tracker
from tests.tracking.sample_records import bare_record, failed_record, full_record, new_run
folder = Path(sys.argv[1]) / sys.argv[2]
folder.mkdir()
tracker = new_tracker(f"sqlite:///{sys.argv[1]}/mlflow.db")
tracker.start(replace(new_run(), execution=sys.argv[2]))
tracker.log_model(bare_record(folder))
tracker.log_model(failed_record(folder))
tracker.log_failed_data(broken_data(folder))
full = tracker.log_model(full_record(folder))
def hang(*_arguments, **_named):
    print(full.run_id, flush=True)
    time.sleep(600)
import tracking.child_runs
tracking.child_runs.register = hang
tracker.log_model(full_record(folder, model="XGBoost"))
"""


def begun(folder, execution):
    """Track a run in a process of its own that hangs while it registers its last model."""
    return subprocess.Popen(
        [sys.executable, "-c", CUT_OFF, str(folder), execution],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


def hanging(process):
    """Wait until it hangs; return the id of its first registered model's run."""
    return process.stdout.readline().strip()


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def runs_of(client):
    experiment = client.get_experiment_by_name("train_all").experiment_id
    return {run.info.run_id: run for run in client.search_runs([experiment])}


def open_runs(client):
    return [run for run in runs_of(client).values() if run.info.status == "RUNNING"]


def tracked(uri, folder, execution):
    """Track the whole of that work, and return the tracker and where its last model went."""
    tracker = new_tracker(uri)
    tracker.start(replace(new_run(), execution=execution))
    tracker.log_model(bare_record(folder))
    tracker.log_model(failed_record(folder))
    tracker.log_failed_data(broken_data(folder))
    full = tracker.log_model(full_record(folder))
    last = tracker.log_model(full_record(folder, model="XGBoost"))
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert tracker.failure is None
    return full, last


@pytest.fixture(scope="module")
def killed(empty_store, tmp_path_factory):
    """A folder that a killed run left, never to be written to, and the run of its first model."""
    folder = tmp_path_factory.mktemp("killed")
    shutil.copy(empty_store, folder)
    process = begun(folder, "work")
    first_id = hanging(process)
    kill(process)
    assert first_id
    return folder, first_id


@pytest.fixture(scope="module")
def resumed(killed, tmp_path_factory):
    """A run that was killed, and the same work once more."""
    left, first_id = killed
    folder = shutil.copytree(left, tmp_path_factory.mktemp("resumed"), dirs_exist_ok=True)
    full, last = tracked(f"sqlite:///{folder}/mlflow.db", folder / "second", "work")
    return reading_client(folder), first_id, full, last


def test_one_parent_holds_every_model_once(resumed):
    client, _, _, _ = resumed
    runs = runs_of(client).values()
    by_name = {run.info.run_name: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    parents = {run.data.tags["mlflow.parentRunId"] for run in by_name.values()}
    (old,) = [run for run in runs if "resumed_by" in run.data.tags]
    assert len(runs) == len(by_name) + 2 == 7
    assert parents == {old.data.tags["resumed_by"]}
    assert old.info.status == "KILLED"
    assert open_runs(client) == []


def test_a_model_that_was_logged_before_is_taken_over_with_its_version(resumed):
    client, first_id, full, last = resumed
    assert (full.run_id, full.version) == (first_id, "1")
    assert client.get_logged_model(full.model_id).source_run_id == first_id
    assert full.uri == "models:/EURUSD/1"
    assert last.version == "2"
    versions = client.search_model_versions("name = 'EURUSD'")
    assert sorted(int(one.version) for one in versions) == [1, 2]


def test_a_model_that_was_cut_off_in_the_middle_is_completed(resumed):
    client, _, _, last = resumed
    run = client.get_run(last.run_id)
    assert run.info.status == "FINISHED"
    assert [one.model_id for one in run.outputs.model_outputs] == [last.model_id]
    experiment = client.get_experiment_by_name("train_all").experiment_id
    models = client.search_logged_models([experiment])
    assert sorted(model.name for model in models) == [
        "EURUSD Bare",
        "EURUSD RandomForest",
        "EURUSD XGBoost",
    ]


def test_a_model_that_came_out_otherwise_is_logged_anew(store_folder):
    uri = f"sqlite:///{store_folder}/mlflow.db"
    run = new_run()
    for number, record in enumerate((failed_record, full_record)):
        tracker = new_tracker(uri)
        tracker.start(run)
        logged = tracker.log_model(replace(record(store_folder / str(number)), model="LSTM"))
        tracker.finish(**NO_FACTS, status="KILLED")
    found = runs_of(reading_client(store_folder)).values()
    statuses = [one.info.status for one in found if one.info.run_name == "EURUSD LSTM"]
    assert sorted(statuses) == ["FAILED", "FINISHED"]
    assert logged.version == "1"


def test_the_next_command_closes_what_a_killed_one_left_and_nothing_of_one_that_lives(
    killed, tmp_path
):
    folder = shutil.copytree(killed[0], tmp_path, dirs_exist_ok=True)
    alive, tracker = (new_tracker(f"sqlite:///{folder}/mlflow.db") for _ in range(2))
    # It must not look at what the dead one left.
    alive._deliver_others = lambda: None
    alive.start(replace(new_run(), execution="alive"))
    client = reading_client(folder)
    assert len(open_runs(client)) == 3
    tracker.start(new_run())
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert {run.data.tags["execution"] for run in open_runs(client)} == {"alive"}
    ended = [run for run in runs_of(client).values() if run.info.status == "KILLED"]
    assert [run.data.tags["execution"] for run in ended] == ["work", "work"]
    # Nor is a lock left of the dead.
    (left,) = tracker.queue.glob("*.lock")
    assert left.name == f"{alive._session.name}.lock"
    alive.finish(**NO_FACTS, status="FINISHED")
