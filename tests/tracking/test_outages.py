"""A real server that hangs, refuses, or dies between a request and its answer."""

import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest

from tests.servers import line_to, mlflow_server
from tests.tracking.conftest import NO_FACTS, new_tracker, promoted
from tests.tracking.sample_records import STUDY, full_record, new_run, study_record, trial_record
from tracking.patience import Patience
from tracking.records import NOT_LOGGED, Verdict
from tracking.syncing import sync

THE_RUNS = "(SELECT run_uuid FROM tags WHERE key = 'execution' AND value = ?)"
QUERIES = (
    "SELECT count(*) FROM runs WHERE run_uuid IN THE_RUNS AND lifecycle_stage = 'active'",
    "SELECT count(*) FROM runs WHERE run_uuid IN THE_RUNS AND status = 'FINISHED'",
    "SELECT count(*) FROM metrics WHERE run_uuid IN THE_RUNS",
    "SELECT count(*) FROM params WHERE run_uuid IN THE_RUNS AND key = 'max_depth'",
    "SELECT count(*) FROM tags WHERE run_uuid IN THE_RUNS AND key = 'verdict'",
    "SELECT count(*) FROM inputs WHERE source_id IN THE_RUNS AND source_type = 'RUN_OUTPUT'",
    "SELECT count(*) FROM logged_models WHERE source_run_id IN THE_RUNS "
    "AND lifecycle_stage = 'active'",
    "SELECT count(*) FROM model_versions WHERE run_id IN THE_RUNS AND current_stage = 'None'",
)
STUDY_RUN = (
    "SELECT runs.run_uuid FROM runs JOIN tags USING (run_uuid) "
    "WHERE run_uuid IN THE_RUNS AND lifecycle_stage = 'active' AND key = 'optuna_study'"
)
TRIAL_RUNS = (
    "SELECT number.value, status, (SELECT count(*) FROM metrics WHERE run_uuid = runs.run_uuid) "
    "FROM runs JOIN tags AS number USING (run_uuid) JOIN tags AS parent USING (run_uuid) "
    "WHERE lifecycle_stage = 'active' AND number.key = 'trial' "
    "AND parent.key = 'mlflow.parentRunId' AND parent.value = ?"
)


@pytest.fixture(scope="module")
def served(empty_store, tmp_path_factory):
    """A server on an SQLite store of its own."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    with mlflow_server(folder, f"sqlite:///{folder}/mlflow.db") as server:
        yield server, folder


@pytest.fixture
def line(served):
    with line_to(served[0].port) as line:
        yield line


def rows(folder, query, *values):
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        return database.execute(query.replace("THE_RUNS", THE_RUNS), values).fetchall()


def short(folder, model, **changes):
    """Return a record whose curves take no time."""
    return replace(full_record(folder, model=model), curves={"loss": [0.5, 0.4]}, **changes)


def cut_at(line, request):
    """Lose the answer to one request, and refuse all after it until `line` is open again."""

    def watch():
        while line.requests < request:
            time.sleep(0.0005)
        line.state = "cut"

    threading.Thread(target=watch, daemon=True).start()


def back(line, tracker, answer=None):
    """Have a store that was cut off back; return the answer of the call that came to that."""
    if line.state == "refused":
        line.state = "open"
        # No need to wait for the pause to pass.
        tracker._carrier.patience.failed = lambda: None
    return answer


def tracked_in_full(line, folder, name):
    """Track a run whose store is back after each call; return the tracker and its run."""
    tracker, run = new_tracker(line.uri, queue=str(folder / "queue")), new_run()

    def told(answer):
        return back(line, tracker, answer)

    tracker.start(run)
    told(None)
    logged = [
        (model, told(tracker.log_model(short(folder, model, symbol=name, registered_name=name))))
        for model in ("A", "B")
    ]
    for model, one in logged:
        told(tracker.log_verdicts([Verdict(name, model, one, "selected", "Text")]))
    told(tracker.promote(name, logged[1][1].version, simulated=True, description="", model="B"))
    tracker.finish(**NO_FACTS, status="FINISHED")
    line.state = "open"
    return tracker, run


def counts(folder, execution):
    """Return how often what a run of two models leaves is there, deleted surplus aside."""
    return [rows(folder, query, execution)[0][0] for query in QUERIES]


@pytest.mark.parametrize("request_number", [4, 22, 43, 67, 85])
def test_an_answer_that_is_lost_leaves_nothing_twice_and_nothing_out(
    served, line, tmp_path, request_number
):
    name = f"CUT{request_number}"
    cut_at(line, request_number)
    tracker, run = tracked_in_full(line, tmp_path, name)
    sync(tracker.uri, tracker.queue, lambda _synced: None)
    assert counts(served[1], run.execution) == [3, 3, 8, 2, 2, 2, 2, 2]
    promoted_model = (
        "SELECT value FROM registered_model_aliases JOIN model_version_tags USING (name, version) "
        "WHERE name = ? AND key = 'model'"
    )
    assert rows(served[1], promoted_model, name) == [("B",)]
    assert list(tracker.queue.iterdir()) == []


@pytest.mark.parametrize("request_number", [6, 7, 8, 12, 22, 23])
def test_an_answer_that_is_lost_leaves_no_trial_twice_and_none_out(
    served, line, tmp_path, request_number
):
    cut_at(line, request_number)
    tracker, run = new_tracker(line.uri, queue=str(tmp_path / "queue")), new_run()
    back(line, tracker, tracker.start(run))
    for batch in ((0, 1, 2), (3, 4)):
        back(line, tracker, tracker.log_trials(STUDY, [trial_record(one) for one in batch]))
    back(line, tracker, tracker.log_study(study_record(tmp_path)))
    tracker.finish(**NO_FACTS, status="FINISHED")
    line.state = "open"
    sync(tracker.uri, tracker.queue, lambda _synced: None)
    assert line.requests > request_number
    (study,) = rows(served[1], f"{STUDY_RUN} AND status = 'FINISHED'", run.execution)
    trials = rows(served[1], TRIAL_RUNS, *study)
    assert sorted(trials) == [(str(one), "FINISHED", 2) for one in range(5)]
    assert list(tracker.queue.iterdir()) == []


@pytest.mark.parametrize("state", ["hung", "mute"])
def test_a_server_that_hangs_costs_a_run_no_more_than_its_patience(
    served, line, tmp_path, monkeypatch, state
):
    waited_s = []
    lose = Patience.lose
    monkeypatch.setattr(
        Patience, "lose", lambda one, seconds: (waited_s.append(seconds), lose(one, seconds))[1]
    )
    tracker = new_tracker(line.uri, queue=str(tmp_path / "queue"))
    assert tracker.start(new_run()) is not None
    # What a healthy store may take, and what is left for a sick one.
    monkeypatch.setattr("tracking.carrier._SERVER_WITH_FILES_S", 0.3)
    tracker._carrier.patience.shorten(0.3)
    waited_s.clear()
    line.state = state
    for model in ("A", "B", "C"):
        logged = tracker.log_model(short(tmp_path, model, registered_name=f"HUNG{state}"))
        assert logged == NOT_LOGGED
    promoted(tracker, "1", name=f"HUNG{state}")
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert tracker.waiting == 5
    # The first failure took all patience, and nothing was asked again.
    assert len([one for one in waited_s if one > 0]) == 1
    line.state = "open"
    line.drop()
    tracker._carrier.wait(30)
    tracker.close()


def test_a_run_that_ends_while_its_server_hangs_is_delivered_once_it_is_back(
    served, line, tmp_path, monkeypatch
):
    tracker = new_tracker(line.uri, queue=str(tmp_path / "queue"), patience_s=0.2)
    run = new_run()
    line.state = "mute"
    monkeypatch.setattr("tracking.carrier._SERVER_WITH_FILES_S", 0.3)
    assert tracker.start(run) is None
    for model in ("A", "B"):
        tracker.log_model(short(tmp_path, model, registered_name="MUTE"))
    tracker.finish(**NO_FACTS, status="FINISHED")
    line.state = "open"
    line.drop()
    # Its lock goes with what is still in hand.
    tracker._carrier.wait(30)
    tracker._carrier.settled(None)
    report = sync(line.uri, tracker.queue, lambda _synced: None)
    assert [(one.delivered, one.waiting) for one in report.sessions] == [(4, 0)]
    assert counts(served[1], run.execution) == [3, 3, 8, 2, 0, 2, 2, 2]


def test_a_store_is_asked_again_after_pauses_that_grow_until_patience_ends():
    now_s = [0.0]
    patience = Patience(3.0, clock=lambda: now_s[0])
    pauses_s = []
    for _ in range(9):
        patience.failed()
        begun_s = now_s[0]
        while not patience.allows():
            now_s[0] += 1.0
        pauses_s.append(now_s[0] - begun_s)
    assert pauses_s == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    patience.failed()
    assert patience.allows(in_pause=True)
    patience.lose(2.0)
    assert patience.allows(in_pause=True)
    patience.lose(1.0)
    assert not patience.allows(in_pause=True)
