import logging
import socket
import threading
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from tests.tracking.conftest import new_tracker
from tests.tracking.sample_records import new_run
from tracking.failures import (
    UnknownVersionError,
    failure_line,
    is_refusal,
    raised,
    without_password,
)


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


def failure_of(uri, folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    tracker = new_tracker(uri, queue=str(folder))
    assert tracker.start(new_run()) is None
    failure = tracker.failure
    tracker.close()
    command = f"python -m pipelines.sync tracking.uri={without_password(uri)}"
    command = f"{command} tracking.queue={folder}"
    waits = f"; 1 record waits in {tracker.queue}, {command} delivers what waits"
    assert failure.endswith(waits)
    return failure.removesuffix(waits)


def test_a_server_that_is_not_there_is_said_in_one_sentence(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG, logger="tracking")
    failure = failure_of("http://127.0.0.1:9", tmp_path, monkeypatch)
    assert failure == ("MLflow at http://127.0.0.1:9 cannot be reached (connection refused)")
    levels = [record.levelname for record in caplog.records]
    assert levels == ["DEBUG", "WARNING"]
    assert "Max retries exceeded" in caplog.text


def test_a_password_reaches_no_log_record_and_no_queue(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    failure = failure_of("http://joe:s3cret@127.0.0.1:9", tmp_path, monkeypatch)
    assert "Max retries exceeded" in caplog.text
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()).decode()
    names = " ".join(map(str, tmp_path.rglob("*")))
    assert '"kind": "start"' in kept
    for secret in ("s3cret", "joe"):
        assert secret not in caplog.text + failure + kept + names


def test_an_error_is_told_with_what_it_came_of_and_without_the_password():
    uri = "http://joe:s3%40cret@host"
    cause = OSError(f"{uri}/api:\n refused")
    error = RuntimeError("login s3@cret, s3%40cret of http://ann:else@there")
    error.__cause__ = cause
    said = raised(uri, error)
    assert said == (
        "RuntimeError: login ***, *** of http://there <- OSError: http://host/api: refused"
    )


def test_a_server_that_does_not_answer_is_said_to(tmp_path, monkeypatch):
    with server(None) as uri:
        failure = failure_of(uri, tmp_path, monkeypatch)
    assert failure == f"MLflow at {uri} cannot be reached (no answer in time)"


def test_a_server_of_something_else_is_quoted_shortly(tmp_path, monkeypatch):
    page = b"<html>" + b"x" * 3000 + b"</html>"
    head = f"HTTP/1.1 404 Not Found\r\nContent-Length: {len(page)}\r\n\r\n".encode()
    with server(head + page) as uri:
        failure = failure_of(uri, tmp_path, monkeypatch)
    assert failure.startswith(f"MLflow at {uri} failed (")
    assert len(failure) < 300
    assert "404" in failure


def test_a_host_without_an_address_is_said_to_be_unknown():
    unknown = OSError("no route")
    unknown.__context__ = socket.gaierror(-2, "Name or service not known")
    line = failure_line("http://nowhere", unknown)
    assert line == "MLflow at http://nowhere cannot be reached (its name is not known)"


def test_a_databases_statement_is_not_quoted():
    error = RuntimeError("(sqlite3.OperationalError) no such table: runs\n[SQL: SELECT 1]\n(More)")
    line = failure_line("sqlite:///a.db", error)
    assert line == "MLflow at sqlite:///a.db failed (no such table: runs)"


def test_an_error_without_words_is_named():
    line = failure_line("sqlite:///a.db", RuntimeError())
    assert line == "MLflow at sqlite:///a.db failed (RuntimeError)"


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


def test_only_a_servers_own_answer_is_a_refusal():
    from mlflow.exceptions import MlflowException, RestException

    said = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}
    page = MlflowException("Response body: '<html>'", error_code=5)
    assert is_refusal("http://host", RestException(said))
    assert not is_refusal("http://host", MlflowException("no such run", error_code=1001))
    assert not is_refusal("http://host", page)
    assert not is_refusal("http://host", RestException({"error_code": "INTERNAL_ERROR"}))
    assert is_refusal("sqlite:///a.db", UnknownVersionError("EURUSD has none"))
