"""The rung that asks over HTTP: real servers, good, slow, broken and gone."""

import contextlib
import http.server
import json
import socket
import threading
import time

import numpy as np
import pytest

from exits.circuit_breaker import CircuitBreaker
from exits.feature_table import SCHEMA_DIGEST
from exits.ladder import CannotAnswer, Ladder, LadderError, TableDefaults
from exits.remote_service import RemoteService
from tests.exits.exit_models import model, rows
from tests.exits.test_ladder import asked
from tests.servers import free_port

MODEL = model()


def answer_of(question):
    values_KP = MODEL.decide(np.array(question["features"]), np.array(question["atr"]))
    return {"model_digest": MODEL.digest, "parameters": values_KP.tolist()}


class Service:
    """Answers as the prediction service does, or as ``behave`` says."""

    def __init__(self):
        self.behave = None
        self.status = 200
        self.questions = []
        self.keys = []
        self.connections = 0
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                service.connections += 1
                super().setup()

            def do_POST(self):
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.questions.append(question)
                service.keys.append(self.headers.get("X-API-Key"))
                if service.behave is not None:
                    service.behave(self, question)
                else:
                    send(self, json.dumps(answer_of(question)).encode(), service.status)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # Who asked may be gone before it is answered.
        self._server.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/exits"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def end(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def send(handler, content, status=200):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


@pytest.fixture
def service():
    one = Service()
    yield one
    one.end()


@pytest.fixture
def remote(service):
    # Time enough for a machine under load: what is late here never comes.
    rung = RemoteService(service.url, api_key="k1", timeout_s=5.0)
    yield rung
    rung.close()


def test_an_answer_is_to_the_bit_what_the_model_gives_and_the_connection_is_kept(service, remote):
    for n in (1, 4, 1):
        found_KP = remote.answer(asked(n))
        assert found_KP.tobytes() == MODEL.decide(rows(n), 0.5 + np.arange(n)).tobytes()
    assert remote.model_digest == MODEL.digest
    assert (service.connections, service.keys) == (1, ["k1"] * 3)
    question = service.questions[1]
    assert question["schema_digest"] == SCHEMA_DIGEST
    assert question["features"] == rows(4).tolist()
    assert question["atr"] == [0.5, 1.5, 2.5, 3.5]


def test_rows_that_are_no_numbers_are_not_sent_and_fall_alone(service, remote):
    many = asked(3)
    many[1].state_F[9] = np.inf
    ladder = Ladder([remote, TableDefaults()])
    assert ladder.decide(many).sources == ("remote_service", "defaults", "remote_service")
    assert service.questions[0]["atr"] == [0.5, 2.5]
    many[0].state_F[0] = many[2].state_F[0] = np.nan
    assert np.isnan(remote.answer(many)).all()
    assert len(service.questions) == 1


def drip(handler, question):
    """Answer byte after byte, each of them in good time."""
    content = json.dumps(answer_of(question)).encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    with contextlib.suppress(OSError):
        for byte in content:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.05)


def sleep_on(handler, question):
    time.sleep(1.0)
    with contextlib.suppress(OSError):
        send(handler, json.dumps(answer_of(question)).encode())


@pytest.mark.parametrize("behave", [drip, sleep_on])
def test_a_service_that_is_too_slow_is_left_in_time_and_asked_anew(service, behave):
    service.behave = behave
    remote = RemoteService(service.url, timeout_s=0.25)
    with pytest.raises(CannotAnswer, match=r"^no answer in time$"):
        remote.answer(asked(1))
    service.behave = None
    patient = RemoteService(service.url, timeout_s=5.0)
    assert np.isfinite(patient.answer(asked(1))).all()
    patient.close()


def test_a_late_answer_is_never_taken_for_the_next_one(service):
    service.behave = lambda handler, question: (
        time.sleep(0.4),
        send(handler, json.dumps(answer_of(question)).encode()),
    )
    remote = RemoteService(service.url, timeout_s=0.2)
    with pytest.raises(CannotAnswer):
        remote.answer(asked(1, seed=3))
    service.behave = None
    remote._timeout_s = 5.0
    expected_KP = MODEL.decide(rows(1, 4), np.array([0.5]))
    np.testing.assert_array_equal(remote.answer(asked(1, seed=4)), expected_KP)
    remote.close()


def test_an_address_where_nobody_listens_is_refused_at_once():
    remote = RemoteService(f"http://127.0.0.1:{free_port()}/v1/exits", timeout_s=5.0)
    with pytest.raises(CannotAnswer, match=r"^connection refused$"):
        remote.answer(asked(1))


def test_a_line_that_is_never_picked_up_is_left_in_time():
    # Its queue is full: a connection is neither taken nor refused.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as mute, contextlib.ExitStack() as held:
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(mute.getsockname())
        remote = RemoteService(f"http://127.0.0.1:{mute.getsockname()[1]}/", timeout_s=0.25)
        with pytest.raises(CannotAnswer, match=r"^no answer in time$"):
            remote.answer(asked(1))


def test_a_connection_that_was_closed_while_idle_is_opened_again(service, remote):
    def last(handler, question):
        send(handler, json.dumps(answer_of(question)).encode())
        handler.close_connection = True

    service.behave = last
    for _ in range(3):
        assert np.isfinite(remote.answer(asked(1))).all()
        time.sleep(0.05)
    assert service.connections == 3


def changed(change):
    def behave(handler, question):
        answer = answer_of(question)
        change(answer)
        send(handler, json.dumps(answer).encode())

    return behave


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (lambda h, _: send(h, b"{}", 503), "it answers with status 503"),
        (lambda h, _: send(h, b"", 302), "it answers with status 302"),
        (lambda h, _: send(h, b"{"), "is not JSON"),
        (lambda h, _: send(h, b"[1]"), "its answer names no model_digest"),
        (lambda h, _: send(h, b'{"a": NaN}'), "holds NaN"),
        (lambda h, _: send(h, b" " * 20_000), "its answer has more than"),
        (lambda h, _: h.wfile.write(b"nonsense\r\n\r\n"), "its answer is no HTTP"),
        (changed(lambda a: a.pop("model_digest")), "names no model_digest"),
        (changed(lambda a: a.pop("parameters")), "has not 132 parameters for each row"),
        (changed(lambda a: a["parameters"].pop()), "has not 132 parameters for each row"),
        (changed(lambda a: a["parameters"][0].pop()), "has not 132 parameters for each row"),
        (changed(lambda a: a["parameters"][0].__setitem__(3, "1")), "parameter that is no number"),
        (changed(lambda a: a["parameters"][0].__setitem__(3, True)), "parameter that is no number"),
        (changed(lambda a: a["parameters"][0].__setitem__(0, 7.0)), "a stop_mult out of its range"),
        (changed(lambda a: a["parameters"][0].__setitem__(-1, 0)), "a current_atr out of its"),
    ],
)
def test_an_answer_that_is_none_falls_with_its_cause(service, remote, behave, said):
    service.behave = behave
    ladder = Ladder([remote, TableDefaults()])
    assert ladder.decide(asked(2)).sources == ("defaults", "defaults")
    ((cause, count),) = ladder.falls.items()
    assert said in cause
    assert count == 2
    with pytest.raises(LadderError, match=r"exits\.require=remote_service"):
        Ladder([remote, TableDefaults()], require="remote_service").decide(asked(1))


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def test_after_some_failures_in_a_row_the_service_is_left_alone_for_a_while(service):
    clock = Clock()
    breaker = CircuitBreaker(most_failures=3, pause_s=30.0, clock=clock)
    remote = RemoteService(service.url, timeout_s=5.0, breaker=breaker)
    service.status = 500
    for n_questions in (1, 2, 3, 3, 3):
        with pytest.raises(CannotAnswer):
            remote.answer(asked(1))
        assert len(service.questions) == n_questions
    with pytest.raises(CannotAnswer, match="its circuit is open"):
        remote.answer(asked(1))
    clock.now_s = 30.0
    with pytest.raises(CannotAnswer, match="status 500"):
        remote.answer(asked(1))
    with pytest.raises(CannotAnswer, match="its circuit is open"):
        remote.answer(asked(1))
    service.status, clock.now_s = 200, 60.0
    assert np.isfinite(remote.answer(asked(1))).all()
    assert not breaker.is_open
    remote.close()


def test_failures_that_are_not_in_a_row_open_nothing():
    breaker = CircuitBreaker(most_failures=2, pause_s=9.0, clock=Clock())
    for _ in range(5):
        breaker.failed()
        assert not breaker.is_open
        breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert breaker.is_open


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host/x", "url must be like"),
        ("host:80", "url must be like"),
        ("http://", "url must be like"),
        ("http://me:secret@host/", "no user and no password"),
        ("http://host:99999/", "[Pp]ort"),
    ],
)
def test_an_address_that_is_none_is_refused(url, said):
    with pytest.raises(ValueError, match=said) as refused:
        RemoteService(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("given", [{"timeout_s": 0.0}, {"timeout_s": float("nan")}])
def test_settings_out_of_range_are_refused(given):
    with pytest.raises(ValueError, match="timeout_s must be positive"):
        RemoteService("http://host/", **given)
    with pytest.raises(ValueError, match="most_failures must be at least 1"):
        CircuitBreaker(most_failures=0, pause_s=1.0)
    with pytest.raises(ValueError, match="pause_s must be at least 0"):
        CircuitBreaker(most_failures=1, pause_s=float("nan"))
