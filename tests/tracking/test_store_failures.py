"""A store that is missing, dies or was never one: the run goes on and says why."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.tracking.conftest import (
    NO_FACTS,
    broken_data,
    champion,
    fill_the_disk,
    promoted,
    reading_client,
    statuses,
)
from tests.tracking.sample_records import PARENT, full_record
from tracking.mlflow_tracker import MlflowTracker
from tracking.records import NOT_LOGGED, Verdict
from tracking.tracker import NoTracker, Tracker

# Reading back calls MLflow directly, which calls parts of SQLAlchemy that are on their way out.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_what_was_logged_before_a_store_died_is_kept(tracker, logged, tmp_path, monkeypatch):
    first = tracker.log_model(full_record(tmp_path / "a"))
    second = tracker.log_model(full_record(tmp_path / "b"))
    with monkeypatch.context() as patch:
        patch.setattr(type(logged.client), "set_model_version_tag", fill_the_disk)
        verdicts = [Verdict(one, "selected", "Selected") for one in (first, second)]
        tracker.log_verdicts(verdicts)
    assert promoted(tracker, second.version) is None
    tracker.finish(**NO_FACTS, status="FINISHED")
    runs = [logged.client.get_run(one.run_id) for one in (first, second)]
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    assert [run.data.tags.get("verdict") for run in runs] == ["selected", None]
    assert [run.data.metrics["test_accuracy"] for run in runs] == [0.61] * 2
    assert tracker.failure.startswith("MLflow at sqlite:///")
    assert "RUNNING" not in statuses(logged.client)


def test_an_interrupted_run_leaves_nothing_running(tracker, logged, root, tmp_path, monkeypatch):
    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(logged.client), "log_artifacts", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tracker.log_model(full_record(tmp_path))
    tracker.finish(**NO_FACTS, status="KILLED")
    assert statuses(reading_client(root)) == {"FINISHED", "FAILED", "KILLED"}


def test_a_store_that_fails_midway_turns_tracking_off_and_warns_once(
    tracker, logged, root, tmp_path, monkeypatch, caplog
):
    with monkeypatch.context() as patch:
        patch.setattr(type(logged.client), "log_model_artifacts", fill_the_disk)
        assert tracker.log_model(full_record(tmp_path / "a")) == NOT_LOGGED
    assert tracker.log_model(full_record(tmp_path / "b")) == NOT_LOGGED
    assert promoted(tracker, "2") is None
    tracker.log_failed_data(broken_data(tmp_path))
    tracker.finish(**NO_FACTS, status="FINISHED")
    reason = "failed (No space left on device); results are in the output folder, nothing was lost"
    assert tracker.failure == f"MLflow at sqlite:///{root}/mlflow.db {reason}"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert champion(logged.client) == "1"
    assert "RUNNING" not in statuses(logged.client)


@pytest.mark.usefixtures("logged")
def test_a_database_that_loses_its_tables_never_raises(tmp_path, root, capfd):
    shutil.copy(root / "mlflow.db", tmp_path / "mlflow.db")
    tracker = MlflowTracker(
        uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="train_all", figures=True
    )
    tracker.start(PARENT)
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
def test_a_store_that_cannot_be_opened_turns_tracking_off(uri, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    make_unusable_stores(tmp_path)
    tracker = MlflowTracker(uri=uri.format(folder=tmp_path), experiment="train_all", figures=True)
    assert tracker.start(PARENT) is None
    assert tracker.log_model(full_record(tmp_path / "model")) == NOT_LOGGED
    assert promoted(tracker, "1") is None
    tracker.log_failed_data(broken_data(tmp_path))
    tracker.log_verdicts([Verdict(NOT_LOGGED, "selected", "")])
    tracker.finish(**NO_FACTS, status="FINISHED")
    assert tracker.failure is not None
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
        MlflowTracker(uri=uri, experiment="train_all", figures=True)
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
        MlflowTracker(uri=uri, experiment="train_all", figures=True)
    assert str(refused.value).endswith(f", was {shown}")


def test_without_tracking_every_answer_is_empty(tmp_path):
    tracker: Tracker = NoTracker()
    assert tracker.start(PARENT) is None
    assert tracker.log_model(full_record(tmp_path)) == NOT_LOGGED
    assert promoted(tracker, "1") is None
    tracker.log_failed_data(broken_data(tmp_path))
    tracker.log_verdicts([Verdict(NOT_LOGGED, "selected", "")])
    tracker.finish(**NO_FACTS, status="FAILED")
    assert (tracker.failure, tracker.cpu_seconds, list(Path().glob("mlflow.db"))) == (None, 0.0, [])
