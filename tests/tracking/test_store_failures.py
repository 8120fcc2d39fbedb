"""A store that is missing, dies or was never one: the run goes on and says why."""

import os
import shutil
import signal
import sqlite3
import threading
from pathlib import Path

import pytest

from tests.tracking.conftest import (
    NO_FACTS,
    broken_data,
    champion,
    fill_the_disk,
    new_tracker,
    promoted,
    reading_client,
    statuses,
)
from tests.tracking.sample_records import (
    PARENT,
    STUDY,
    full_record,
    new_run,
    study_record,
    trial_record,
)
from tracking.records import NOT_LOGGED, Verdict
from tracking.syncing import sync
from tracking.tracker import NoTracker, Tracker

# Reading back calls MLflow directly, which calls parts of SQLAlchemy that are on their way out.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_what_was_logged_before_a_store_died_is_kept_and_the_rest_comes_when_it_is_back(
    tracker, logged, tmp_path, monkeypatch
):
    first = tracker.log_model(full_record(tmp_path / "a", model="A"))
    second = tracker.log_model(full_record(tmp_path / "b", model="B"))
    with monkeypatch.context() as patch:
        patch.setattr(type(logged.client), "set_model_version_tag", fill_the_disk)
        verdicts = [
            Verdict("EURUSD", model, one, "selected", "Selected")
            for model, one in (("A", first), ("B", second))
        ]
        tracker.log_verdicts(verdicts)
    assert tracker.waiting == 2
    assert "No space left on device); 2 records wait in" in tracker.failure
    tracker.finish(**NO_FACTS, status="FINISHED")
    runs = [logged.client.get_run(one.run_id) for one in (first, second)]
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    assert [run.data.tags.get("verdict") for run in runs] == ["selected"] * 2
    assert (tracker.failure, tracker.waiting) == (None, 0)
    assert "RUNNING" not in statuses(logged.client)


def interrupted_while_hanging(tracker, client, folder, monkeypatch):
    """Press Ctrl-C while the store hangs over a model; return what lets it go on."""
    go_on, log = threading.Event(), type(client).log_artifacts

    def hang(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        go_on.wait(60)
        log(*arguments)

    # A shell may have them ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(type(client), "log_artifacts", hang)
            with pytest.raises(KeyboardInterrupt):
                tracker.log_model(full_record(folder))
    finally:
        signal.signal(signal.SIGINT, before)
    return go_on


def test_an_interrupted_run_leaves_nothing_running(tracker, logged, root, tmp_path, monkeypatch):
    go_on = interrupted_while_hanging(tracker, logged.client, tmp_path, monkeypatch)
    go_on.set()
    tracker.finish(**NO_FACTS, status="KILLED")
    assert (tracker.failure, tracker.waiting) == (None, 0)
    assert statuses(reading_client(root)) == {"FINISHED", "FAILED", "KILLED"}


def test_what_an_interrupt_cut_off_waits_and_no_reason_is_made_up(
    tracker, logged, root, tmp_path, monkeypatch
):
    monkeypatch.setattr("tracking.mlflow_tracker._INTERRUPTED_S", 0.01)
    go_on = interrupted_while_hanging(tracker, logged.client, tmp_path, monkeypatch)
    tracker.finish(**NO_FACTS, status="KILLED")
    assert tracker.failure.startswith("2 records wait in ")
    go_on.set()
    tracker._carrier.wait(60)
    tracker._carrier.settled(None)
    (synced,) = sync(tracker.uri, tracker.queue, lambda _synced: None).sessions
    # The model arrived after all.
    assert (synced.delivered, synced.waiting) == (1, 0)
    assert "RUNNING" not in statuses(reading_client(root))


def test_a_store_that_fails_midway_warns_once_and_all_after_it_waits_in_order(
    tracker, logged, tmp_path, monkeypatch, caplog
):
    with monkeypatch.context() as patch:
        patch.setattr(type(logged.client), "log_model_artifacts", fill_the_disk)
        assert tracker.log_model(full_record(tmp_path / "a", model="A")) == NOT_LOGGED
        assert tracker.log_model(full_record(tmp_path / "b", model="B")) == NOT_LOGGED
        assert promoted(tracker, "2") is None
        tracker.log_failed_data(broken_data(tmp_path))
        kinds = [path.name for path in sorted(tracker.queue.glob("*/0*"))]
        tracker.finish(**NO_FACTS, status="FINISHED")
    assert kinds == ["000001-model", "000002-model", "000003-promotion", "000004-failed_data"]
    assert (tracker.waiting, champion(logged.client)) == (5, "1")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"; python -m pipelines.sync tracking.uri={tracker.uri} delivers it" in caplog.text
    report = sync(tracker.uri, tracker.queue, lambda _synced: None)
    assert [(one.delivered, one.waiting) for one in report.sessions] == [(5, 0)]
    assert champion(logged.client) == "2"
    assert "RUNNING" not in statuses(logged.client)


@pytest.mark.usefixtures("logged")
def test_a_database_that_loses_its_tables_never_raises(tmp_path, root, capfd):
    shutil.copy(root / "mlflow.db", tmp_path / "mlflow.db")
    tracker = new_tracker(f"sqlite:///{tmp_path}/mlflow.db", figures=True)
    tracker.start(new_run())
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("DROP TABLE metrics")
        database.execute("DROP TABLE runs")
    assert tracker.log_model(full_record(tmp_path)) == NOT_LOGGED
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert "no such table" in tracker.failure
    assert "\n" not in tracker.failure
    assert capfd.readouterr() == ("", "")


def make_unusable_stores(folder):
    (folder / "directory").mkdir()
    (folder / "letter").write_text("this is a letter, and no database at all\n" * 30)
    for name, statements in {
        "from_a_newer_mlflow": [
            "CREATE TABLE alembic_version (version_num TEXT)",
            "INSERT INTO alembic_version VALUES ('zzz')",
        ],
        "of_another_program": ["CREATE TABLE runs (x INT)"],
    }.items():
        with sqlite3.connect(folder / name) as database:
            for statement in statements:
                database.execute(statement)


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:9",
        "sqlite:///{folder}/directory",
        "sqlite:///{folder}/letter",
        "sqlite:///{folder}/from_a_newer_mlflow",
        "sqlite:///{folder}/of_another_program",
    ],
)
def test_all_waits_for_a_store_that_cannot_be_opened(uri, tmp_path, capfd):
    make_unusable_stores(tmp_path)
    tracker = new_tracker(uri.format(folder=tmp_path), queue=str(tmp_path / "queue"), figures=True)
    assert tracker.start(new_run()) is None
    assert tracker.log_model(full_record(tmp_path / "model")) == NOT_LOGGED
    assert promoted(tracker, "1") is None
    tracker.log_failed_data(broken_data(tmp_path))
    tracker.log_verdicts([Verdict("EURUSD", "LSTM", NOT_LOGGED, "selected", "")])
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert "6 records wait in" in tracker.failure
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "mlruns",
        "sqlite://",
        "sqlite:///",
        "file:///mlruns",
        "http://",
        "http://[x",
        "http://host:x",
        "http://host:0",
        "http://ho st",
        "http://host\nname",
        "http://host?token=x",
    ],
)
def test_an_address_of_no_store_is_refused_at_once(uri):
    with pytest.raises(ValueError, match=r"^tracking\.uri must be") as refused:
        new_tracker(uri)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://joe:s3cr@t@host/db", "postgresql://host/db"),
        ("mysql+pymysql://joe:s3/cr@t@host/db", "mysql+pymysql://host/db"),
        ("http://joe:s3/cr?t@host", "http://host"),
        ("http://joe:s3cr\t@host", "http://host"),
        ("postgresql://host/db?password=s3cr", "postgresql://host/db"),
        ("joe:s3cr@host", "host"),
    ],
)
def test_an_address_is_refused_without_its_password(uri, shown):
    with pytest.raises(ValueError, match=r"^tracking\.uri must be") as refused:
        new_tracker(uri)
    assert str(refused.value).endswith(f", was {shown}")


def test_without_tracking_every_answer_is_empty(tmp_path):
    tracker: Tracker = NoTracker()
    assert tracker.start(PARENT) is None
    assert tracker.log_model(full_record(tmp_path)) == NOT_LOGGED
    assert promoted(tracker, "1") is None
    tracker.log_failed_data(broken_data(tmp_path))
    tracker.log_verdicts([Verdict("EURUSD", "LSTM", NOT_LOGGED, "selected", "")])
    tracker.log_trials(STUDY, [trial_record(0)])
    tracker.log_study(study_record(tmp_path))
    tracker.finish(**NO_FACTS, status="FAILED")
    assert (tracker.failure, tracker.cpu_seconds, list(Path().glob("mlflow.db"))) == (None, 0.0, [])
