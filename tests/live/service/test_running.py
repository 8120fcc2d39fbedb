"""The server as it runs: new manifests, broken ones, many clients, and its end."""

import asyncio
import http.client
import json
import re
import shutil
import signal
import socket
import threading

import pytest

from live.alerts import NoAlerts
from live.service.app import Service, tell_of_symbols_without_model
from live.service.limits import Limits
from live.service.loaded import LoadedManifest, Symbol, load_manifest
from live.service.metrics import Metrics
from live.service.server import listening
from live.service.watching import Watched
from selection.atomic import write_bytes_atomically
from tests.live.service.served import frame, market, served
from tests.servers import until

PATH = "/v1/entries/EURUSD"


def question():
    return {"frames": {"1h": frame(market().until(2_000))}}


def with_threshold(manifest, threshold):
    """Return a manifest's bytes with another threshold of EURUSD's."""
    document = json.loads(manifest.read_text())
    document["selections"]["EURUSD"]["decision_threshold"] = threshold
    return json.dumps(document).encode()


class Kept:
    """Alerts that were sent."""

    def __init__(self):
        self.alerts = []

    def send(self, alert):
        self.alerts.append(alert)

    def close(self):
        pass


def test_every_answer_during_swaps_is_that_of_the_manifest_it_names(manifest):
    contents = [with_threshold(manifest, threshold) for threshold in (0.51, 0.61)]
    write_bytes_atomically(manifest, contents[0])
    seen, stop = set(), threading.Event()
    with served(manifest) as server:
        row = [1.0] * len(
            server.ready().http.get("/v1/models").json()["symbols"]["EURUSD"]["features"]
        )

        def client():
            while not stop.is_set():
                status, answer = server.ask(PATH, {"features": [row]})
                seen.add((status, answer.get("manifest_sha256"), answer.get("threshold")))

        clients = [threading.Thread(target=client) for _ in range(4)]
        for one in clients:
            one.start()
        for n in range(6):
            before = server.digest()
            write_bytes_atomically(manifest, contents[(n + 1) % 2])
            until(lambda: server.digest() != before, "the swap", server.process)  # noqa: B023
        stop.set()
        for one in clients:
            one.join()
    assert len(seen) == 2
    assert {(status, threshold) for status, _, threshold in seen} == {(200, 0.51), (200, 0.61)}


def test_a_broken_manifest_is_refused_once_and_the_one_before_answers_on(manifest):
    with served(manifest) as server:
        digest = server.ready().digest()
        good = manifest.read_bytes()
        write_bytes_atomically(manifest, b"{}")
        until(lambda: any("refused" in line for line in server.lines), "the refusal")
        assert server.ask(PATH, question())[0] == 200
        assert server.digest() == digest
        assert 'assay_refusing{what="manifest"} 1.0' in server.http.get("/metrics").text
        write_bytes_atomically(manifest, good)
        is_well = 'assay_refusing{what="manifest"} 0.0'
        until(lambda: is_well in server.http.get("/metrics").text, "the recovery")
        assert sum("refused" in line for line in server.lines) == 1


def test_without_a_manifest_it_lives_and_says_why_it_is_not_ready(manifest):
    model = next(manifest.parent.glob("artifacts/EURUSD/*/model.onnx"))
    hidden = model.rename(model.with_suffix(".hidden"))
    with served(manifest) as server:
        until(lambda: any("refused" in line for line in server.lines), "the refusal")
        answer = server.http.get("/ready")
        assert server.http.get("/health").status_code == 200
        assert answer.status_code == 503
        assert "model.onnx is missing" in answer.json()["detail"]
        assert answer.headers["retry-after"] == "1"
        assert server.ask(PATH, question())[0] == 503
        # The same manifest, whose files have come.
        hidden.rename(model)
        assert server.ready().ask(PATH, question())[0] == 200


def test_what_is_being_asked_when_it_is_told_to_end_is_answered(manifest):
    body = json.dumps(question()).encode()
    with served(manifest) as server:
        server.ready()
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as line:
            head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:100])
            server.process.send_signal(signal.SIGTERM)
            line.sendall(body[100:])
            assert line.recv(65536).startswith(b"HTTP/1.1 200")
        assert server.process.wait(timeout=30) == 0
        assert not any("Traceback" in text for text in server.lines)


def test_what_takes_too_long_when_it_is_told_to_end_is_told_so(manifest):
    with served(manifest, "shutdown_s=1.0", "body_timeout_s=60.0") as server:
        server.ready()
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as line:
            head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            line.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
            # Answered on another connection: the first has been heard by then.
            assert server.http.get("/health").status_code == 200
            server.process.send_signal(signal.SIGTERM)
            answer = http.client.HTTPResponse(line)
            answer.begin()
            assert answer.status == 503
            assert "the service is ending" in json.loads(answer.read())["detail"]
        assert server.process.wait(timeout=30) == 0
        assert not any("Traceback" in text for text in server.lines)


def service(watched):
    limits = Limits(
        most_body_bytes=1024, body_timeout_s=1.0, threads=1, most_waiting=1, poll_s=0.01
    )
    alone = {"exits": None, "metrics": Metrics(), "alerts": NoAlerts(), "api_key": None}
    return Service(manifest=watched, limits=limits, **alone)


def test_a_look_that_fails_is_not_the_last(caplog):
    class Looked:
        name, looks = "manifest", 0

        def look(self):
            self.looks += 1
            if self.looks < 3:
                raise RuntimeError("a mistake of ours")

    async def until_looked(looked):
        async with service(looked).app().router.lifespan_context(None):
            while looked.looks < 4:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(until_looked(Looked()), 30))
    assert caplog.text.count("looking for a new manifest failed") == 2


def test_a_mistake_of_ours_about_one_symbol_does_not_keep_the_others_from_their_answers(caplog):
    class Symbols(dict):
        def get(self, name):
            if name == "EURUSD":
                raise ZeroDivisionError
            return super().get(name)

    held = Symbols(GBPUSD=Symbol(name="GBPUSD", model=None, reason="no signal"))
    asked = {name: {"features": [[1.0]]} for name in ("EURUSD", "GBPUSD")}
    answered = service(None)._entries_of(
        LoadedManifest("0" * 64, None, held), json.dumps({"entries": asked}).encode()
    )
    entries = json.loads(answered)["entries"]
    assert entries["EURUSD"]["problem"]["status"] == 500
    assert entries["GBPUSD"]["signals"][0]["action"] == "HOLD"
    assert "EURUSD" in caplog.text


def test_without_a_key_only_this_machines_own_names_are_answered(manifest):
    with served(manifest) as server:
        server.ready()
        for path in ("/v1/models", "/openapi.json", "/docs", "/health"):
            answer = server.http.get(path, headers={"Host": "evil.example:80"})
            assert (answer.status_code, answer.json()["field"]) == (421, "Host")
        for host in ("localhost", "127.0.0.1:9", "[::1]:80"):
            assert server.http.get("/v1/models", headers={"Host": host}).status_code == 200


def test_too_many_bars_at_once_are_told_to_come_back(manifest):
    found, asked = set(), question()
    with served(manifest, "threads=1", "most_waiting=1") as server:
        server.ready()

        def client():
            for _ in range(100):
                found.add(server.ask(PATH, asked)[0])
                if found >= {200, 503}:
                    break

        clients = [threading.Thread(target=client) for _ in range(4)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
        assert server.ask(PATH, asked)[0] == 200
    assert found == {200, 503}


def test_counters_tell_what_was_asked_and_said(server):
    before = server.http.get("/metrics").text
    row = [1.0] * 57
    action = server.ask(PATH, {"features": [row, row]})[1]["signals"][0]["action"]
    after = server.http.get("/metrics").text
    name = re.escape(f'assay_signals_total{{action="{action}",symbol="EURUSD"}}')
    counts = [
        float(found.group(1)) if (found := re.search(rf"{name} (\S+)", page)) else 0.0
        for page in (before, after)
    ]
    assert counts[1] - counts[0] == 2
    assert 'assay_request_seconds_count{operation="entries"}' in after


def test_symbols_without_a_model_are_told_of_when_a_manifest_is_loaded(councils):
    kept = Kept()
    tell_of_symbols_without_model(kept)(load_manifest(councils / "manifest.json"))
    assert [(one.kind, one.symbol) for one in kept.alerts] == [("symbol_without_model", "GBPUSD")]


class Thing:
    def __init__(self, digest):
        self.digest = digest


class Disk:
    """A file that is what it is set to, and may not be loadable."""

    def __init__(self):
        self.digest, self.fails, self.loads, self.now_s = "a", None, 0, 0.0
        self.kept = Kept()
        self.watched = Watched(
            "manifest",
            digest=lambda: self.digest,
            load=self.load,
            metrics=Metrics(),
            alerts=self.kept,
            clock=lambda: self.now_s,
        )

    def load(self):
        self.loads += 1
        if self.fails is not None:
            raise self.fails
        return Thing(self.digest)


def test_what_is_served_already_is_not_loaded_again():
    disk = Disk()
    assert disk.watched.look()
    assert not disk.watched.look()
    assert disk.loads == 1


@pytest.mark.parametrize("error", [ValueError("bad"), OSError("gone"), RuntimeError("a bug")])
def test_a_refusal_leaves_the_one_before_and_alerts_once(error):
    disk = Disk()
    disk.watched.look()
    disk.digest, disk.fails = "b", error
    for _ in range(5):
        disk.now_s += 100.0
        assert not disk.watched.look()
    assert disk.watched.current.digest == "a"
    assert [one.kind for one in disk.kept.alerts] == ["service_refusing"]
    assert str(error) in disk.watched.refusal


def test_what_is_refused_is_tried_again_ever_less_often():
    disk = Disk()
    disk.fails = ValueError("its files have not come yet")
    for _ in range(1_000):
        disk.watched.look()
        disk.now_s += 0.1
    assert disk.loads == 7
    disk.fails = None
    disk.now_s += 60.0
    assert disk.watched.look()
    assert disk.watched.refusal is None


def test_another_file_than_the_refused_one_is_tried_at_once():
    disk = Disk()
    disk.fails = ValueError("bad")
    disk.watched.look()
    disk.digest, disk.fails = "b", None
    assert disk.watched.look()


def test_a_port_that_is_taken_is_named():
    taken = listening("127.0.0.1", 0)
    port = taken.getsockname()[1]
    with taken, pytest.raises(OSError) as error:  # noqa: PT011 - its parts are looked at
        listening("127.0.0.1", port)
    assert error.value.filename == f"127.0.0.1:{port}"


def test_a_manifest_with_a_damaged_file_is_not_served_at_all(manifest, tmp_path):
    shutil.rmtree(next((manifest.parent / "artifacts" / "EURUSD").iterdir()))
    watched = Watched(
        "manifest",
        digest=lambda: "x",
        load=lambda: load_manifest(manifest),
        metrics=Metrics(),
        alerts=NoAlerts(),
    )
    assert not watched.look()
    assert watched.current is None
    assert "is missing" in watched.refusal
