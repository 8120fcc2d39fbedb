"""How long a store may keep a run, and that nothing else of the process sees it at work."""

import logging
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from tests.tracking.conftest import new_tracker
from tests.tracking.sample_records import bare_record, full_record
from tracking.carrier import Carrier, StillAtItError
from tracking.patience import Patience
from tracking.records import NOT_LOGGED, Verdict
from tracking.session import Session
from tracking.store import import_mlflow

VERDICT = Verdict("EURUSD", "LSTM", NOT_LOGGED, "selected", "")


@pytest.fixture
def session(tmp_path):
    session = Session.begun(tmp_path / "queue", execution="a", experiment="x")
    yield session
    session.remove()


@pytest.mark.parametrize(("kind", "each_s", "carried"), [("verdict", 1.5, 8), ("model", 4.9, 3)])
def test_a_slow_store_uses_up_patience_however_short_each_wait_is(
    session, tmp_path, monkeypatch, kind, each_s, carried
):
    now_s = [0.0]
    monkeypatch.setattr("tracking.carrier.time", SimpleNamespace(monotonic=lambda: now_s[0]))
    call = VERDICT if kind == "verdict" else bare_record(tmp_path)
    carrier = Carrier(Patience(10.0), is_local=False)
    for _ in range(carried):
        carrier.carry(lambda: now_s.append(now_s.pop() + each_s), session, call=call)
    with pytest.raises(StillAtItError):
        carrier.carry(lambda: None, session, call=call)
    carrier.stop()


def test_a_model_may_take_a_second_for_each_megabyte(session, tmp_path, monkeypatch):
    now_s = [0.0]
    monkeypatch.setattr("tracking.carrier.time", SimpleNamespace(monotonic=lambda: now_s[0]))
    record = full_record(tmp_path)
    (record.artifact_folder / "weights").write_bytes(bytes(4 * 2**20))
    carrier = Carrier(Patience(10.0), is_local=False)
    carrier.carry(lambda: now_s.append(now_s.pop() + 4.9), session, call=record)
    assert carrier.patience.left_s == 10.0
    carrier.stop()


def test_patience_that_a_slow_store_used_up_is_said_once(tmp_path, caplog):
    tracker = new_tracker("http://127.0.0.1:9", queue=str(tmp_path))
    tracker._begin("a")
    tracker._carrier.patience.lose(10.0)
    tracker.log_verdicts([VERDICT, VERDICT])
    said = "MLflow at http://127.0.0.1:9 has taken the 10 s that this run gives it"
    assert tracker.failure.startswith(f"{said}; 2 records wait in ")
    assert [record.message.count(said) for record in caplog.records] == [1]
    tracker.close()


def test_mlflow_stays_silent_as_long_as_it_works_though_nobody_waits(session):
    go_on, begun = threading.Event(), threading.Event()
    import_mlflow()
    noisy = logging.getLogger("mlflow")
    usual = noisy.level
    carrier = Carrier(Patience(0.01), is_local=False)
    with pytest.raises(StillAtItError):
        carrier.carry(lambda: (begun.set(), go_on.wait(60)), session, call=VERDICT)
    assert begun.wait(60)
    assert noisy.level > logging.CRITICAL
    go_on.set()
    carrier.wait(60)
    assert noisy.level == usual
    assert carrier.settled(session)
    carrier.stop()


def test_an_upload_is_waited_for_longer_than_another_request(tmp_path, monkeypatch):
    import_mlflow()
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    class Slow(BaseHTTPRequestHandler):
        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(1.5)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    (tmp_path / "model").write_text("weights")
    with HTTPServer(("127.0.0.1", 0), Slow) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        environment = dict(os.environ)
        address = f"http://127.0.0.1:{server.server_port}"
        get_artifact_repository("mlflow-artifacts:/x", tracking_uri=address).log_artifact(
            tmp_path / "model"
        )
        serving.join()
    assert dict(os.environ) == environment
