import logging
import socket
import threading
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from tests.tracking.sample_records import PARENT
from tracking.failures import failure_line, raised, without_password
from tracking.mlflow_tracker import MlflowTracker

SAFE = "; results are in the output folder, nothing was lost"


@contextmanager
def server(answer):
    """A server that gives the same answer to every request, or none."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening, ExitStack() as held:

        def serve():
            # Ends when the listening socket is shut down.
            with suppress(OSError):
                while True:
                    connection = held.enter_context(listening.accept()[0])
                    connection.recv(10_000)
                    if answer is not None:
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def failure_of(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    tracker = MlflowTracker(uri=uri, experiment="train_all", figures=True)
    assert tracker.start(PARENT) is None
    return tracker.failure


def test_a_server_that_is_not_there_is_said_in_one_sentence(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG, logger="tracking")
    failure = failure_of("http://127.0.0.1:9", monkeypatch)
    assert failure == (f"MLflow at http://127.0.0.1:9 cannot be reached (connection refused){SAFE}")
    levels = [record.levelname for record in caplog.records]
    assert levels == ["DEBUG", "WARNING"]
    assert "Max retries exceeded" in caplog.text


def test_a_password_reaches_no_log_record(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    failure = failure_of("http://joe:s3cret@127.0.0.1:9", monkeypatch)
    assert "Max retries exceeded" in caplog.text
    assert "s3cret" not in caplog.text + failure
    assert "joe" not in caplog.text + failure


def test_an_error_is_told_with_what_it_came_of_and_without_the_password():
    uri = "http://joe:s3%40cret@host"
    cause = OSError(f"{uri}/api:\n refused")
    error = RuntimeError("login s3@cret, s3%40cret of http://ann:else@there")
    error.__cause__ = cause
    said = raised(uri, error)
    assert said == (
        "RuntimeError: login ***, *** of http://there <- OSError: http://host/api: refused"
    )


def test_a_server_that_does_not_answer_is_said_to(monkeypatch):
    with server(None) as uri:
        failure = failure_of(uri, monkeypatch)
    assert failure == f"MLflow at {uri} cannot be reached (no answer in time){SAFE}"


def test_a_server_of_something_else_is_quoted_shortly(monkeypatch):
    page = b"<html>" + b"x" * 3000 + b"</html>"
    head = f"HTTP/1.1 404 Not Found\r\nContent-Length: {len(page)}\r\n\r\n".encode()
    with server(head + page) as uri:
        failure = failure_of(uri, monkeypatch)
    assert failure.startswith(f"MLflow at {uri} failed (")
    assert len(failure) < 300
    assert "404" in failure


def test_a_host_without_an_address_is_said_to_be_unknown():
    unknown = OSError("no route")
    unknown.__context__ = socket.gaierror(-2, "Name or service not known")
    line = failure_line("http://nowhere", unknown)
    assert line == f"MLflow at http://nowhere cannot be reached (its name is not known){SAFE}"


def test_a_databases_statement_is_not_quoted():
    error = RuntimeError("(sqlite3.OperationalError) no such table: runs\n[SQL: SELECT 1]\n(More)")
    line = failure_line("sqlite:///a.db", error)
    assert line == f"MLflow at sqlite:///a.db failed (no such table: runs){SAFE}"


def test_an_error_without_words_is_named():
    assert failure_line("sqlite:///a.db", RuntimeError()).startswith(
        "MLflow at sqlite:///a.db failed (RuntimeError);"
    )


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://joe:s3cr@t@host:5000/x", "http://host:5000/x"),
        ("https://host", "https://host"),
        ("sqlite:///a@b.db", "sqlite:///a@b.db"),
    ],
)
def test_a_password_in_an_address_is_never_shown(uri, shown):
    assert without_password(uri) == shown
    assert "s3cr" not in failure_line(uri, OSError(f"failed: {uri}"))
