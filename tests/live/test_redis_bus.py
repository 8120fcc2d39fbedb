"""What only a server can do to a bus: be gone, hang, refuse, forget, listen to passwords."""

import logging
import os
import signal
import socket
import threading
import time
import traceback
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import redis

from live.bus import BusDownError
from live.redis_bus import RedisBus
from live.redis_words import PASSWORD
from tests.servers import line_to, redis_server, until

STREAM, GROUP, SECRET = "trade.closed", "recorder", "s3cr3t-p4ssw0rd"


def bus_at(url, timeout_s=5.0, **given):
    return RedisBus(url=url, prefix="test:", timeout_s=timeout_s, **given)


def events(n):
    return [{"order_id": f"o{i}"} for i in range(n)]


def take(bus, wait_s=0.0):
    return bus.take(STREAM, GROUP, "a", most=100, wait_s=wait_s)


def raw(server):
    return redis.Redis(port=server.port)


@pytest.fixture
def alone(redis_alone):
    bus = bus_at(redis_alone.url)
    yield redis_alone, bus
    bus.close()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_published_taken_and_acknowledged_survives_a_server_that_ends(alone, end):
    server, bus = alone
    ids = bus.publish(STREAM, events(5))
    take(bus)
    bus.acknowledge(STREAM, GROUP, ids[:2])
    getattr(server, end)()
    with pytest.raises(BusDownError) as refused:
        bus.publish(STREAM, events(1))
    server.start()
    assert "\n" not in str(refused.value)
    assert f"events bus {server.url}: Error 111 connecting" in str(refused.value)
    assert "start it, or set events_bus.url" in str(refused.value)
    assert [one.id for one in bus.reclaim(STREAM, GROUP, "a", idle_s=0.0, most=9)] == ids[2:]
    assert bus.state(STREAM).length == 5


def test_a_consumer_that_waits_hears_of_a_server_that_is_killed_at_once(alone):
    server, bus = alone
    told = []

    def wait():
        try:
            take(bus, wait_s=300.0)
        except BusDownError as error:
            told.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not raw(server).info("clients")["blocked_clients"]:
        time.sleep(0.02)
    server.kill()
    waiting.join()
    assert told[0].startswith(f"events bus {server.url}: ")


def test_every_kill_while_publishing_leaves_what_publish_has_returned(alone):
    server, bus = alone
    returned, done = [], threading.Event()

    def publish():
        while not done.is_set():
            try:
                returned.extend(bus.publish(STREAM, events(3)))
            except BusDownError:
                time.sleep(0.01)

    publishing = threading.Thread(target=publish)
    publishing.start()
    for _ in range(4):
        n_before = len(returned)
        while len(returned) < n_before + 30:
            time.sleep(0.005)
        server.kill()
        server.start()
    done.set()
    publishing.join()
    kept = {one.decode() for one, _ in raw(server).xrange(f"test:{STREAM}")}
    assert set(returned) <= kept
    assert returned == sorted(returned, key=lambda one: tuple(map(int, one.split("-"))))


def test_what_was_not_delivered_is_counted_right_after_a_crash_and_a_trim(alone):
    server, bus = alone
    bus.publish(STREAM, events(2500))
    taken = bus.take(STREAM, GROUP, "a", most=1200, wait_s=0.0)
    bus.acknowledge(STREAM, GROUP, [one.id for one in taken])
    server.kill()
    server.start()
    bus.trim(STREAM, keep=0)
    assert bus.state(STREAM).groups[GROUP].undelivered == 1300
    bus.take(STREAM, GROUP, "a", most=1300, wait_s=0.0)
    assert bus.state(STREAM).groups[GROUP].undelivered == 0


def test_an_answer_that_is_lost_is_a_call_that_may_have_had_its_effect(redis_alone):
    with line_to(redis_alone.port) as line:
        bus = bus_at(line.uri.replace("http", "redis"))
        bus.publish(STREAM, events(1))
        line.state = "cut"
        with pytest.raises(BusDownError):
            bus.publish(STREAM, events(1))
        line.state = "open"
        assert bus.state(STREAM).length == 2
        bus.close()


def test_a_server_that_hangs_is_waited_for_no_longer_than_was_said(redis_alone):
    bus = bus_at(redis_alone.url, timeout_s=1.5)
    bus.publish(STREAM, events(1))
    os.kill(redis_alone.pid, signal.SIGSTOP)
    try:
        with pytest.raises(BusDownError, match=r"it hangs or is far: see events_bus\.timeout_s"):
            take(bus, wait_s=60.0)
    finally:
        os.kill(redis_alone.pid, signal.SIGCONT)
    # What the server has delivered to a line that was given up comes again.
    found = take(bus) + bus.reclaim(STREAM, GROUP, "a", idle_s=0.0, most=9)
    assert {one.fields[b"order_id"] for one in found} == {b"o0"}
    bus.close()


def test_a_wait_longer_than_an_answer_may_take_ends_empty(redis_of_all):
    bus = bus_at(redis_of_all.url, timeout_s=2.0)
    assert bus.take("nothing.here", GROUP, "a", most=1, wait_s=2.2) == []
    bus.close()


def test_a_server_that_still_reads_its_file_is_down_and_then_up(redis_alone):
    bus = bus_at(redis_alone.url)
    for _ in range(12):
        bus.publish(STREAM, events(1000))
    redis_alone.stop()
    redis_alone.options["key-load-delay"] = 150
    redis_alone.begin()
    said, give_up = set(), time.monotonic() + 60
    while time.monotonic() < give_up:
        try:
            assert bus.state(STREAM).length == 12_000
            break
        except BusDownError as error:
            said.add(str(error).partition(": ")[2])
        time.sleep(0.02)
    assert any("it has just started, and reads what it kept: wait" in one for one in said)
    bus.close()


def test_a_server_without_memory_or_one_that_is_a_copy_is_told_by_what_to_do(alone):
    server, bus = alone
    bus.publish(STREAM, events(1))
    raw(server).config_set("maxmemory", 1)
    with pytest.raises(BusDownError, match="command not allowed when used memory > 'maxmemory'"):
        bus.publish(STREAM, events(1))
    raw(server).config_set("maxmemory", 0)
    raw(server).replicaof("127.0.0.1", 1)
    with pytest.raises(BusDownError, match=r"it is a copy: set events_bus\.url to"):
        bus.publish(STREAM, events(1))
    raw(server).replicaof("no", "one")
    bus.publish(STREAM, events(1))
    assert bus.state(STREAM).length == 2


def test_a_key_that_is_no_stream_is_named_on_one_line(redis_of_all):
    bus = RedisBus(url=redis_of_all.url, prefix="wrong:")
    raw(redis_of_all).set("wrong:trade.closed", "text")
    for call in (lambda: take(bus), lambda: bus.publish(STREAM, events(1))):
        with pytest.raises(BusDownError, match="wrong kind of value") as refused:
            call()
        assert "\n" not in str(refused.value)
        assert "o0" not in str(refused.value)
    bus.close()


@pytest.mark.parametrize("idle_s", [0.0, 0.001])
def test_what_was_deleted_while_pending_is_named_once_and_holds_nothing_up(
    redis_of_all, caplog, idle_s
):
    bus = RedisBus(url=redis_of_all.url, prefix=f"deleted{idle_s}:")
    ids = bus.publish(STREAM, events(4))
    take(bus)
    time.sleep(0.01)
    raw(redis_of_all).xdel(f"deleted{idle_s}:{STREAM}", *ids[:2])
    found = bus.reclaim(STREAM, GROUP, "a", idle_s=idle_s, most=2)
    assert [one.id for one in found] == ids[2:]
    time.sleep(0.01)
    assert len(bus.reclaim(STREAM, GROUP, "a", idle_s=idle_s, most=9)) == 2
    said = [one.message for one in caplog.records if "were deleted before" in one.message]
    assert len(said) == 1
    assert ids[0] in said[0]
    assert bus.state(STREAM).groups[GROUP].lowest_pending == ids[2]
    bus.close()


def test_what_a_foreign_producer_wrote_in_bytes_comes_as_bytes(redis_of_all):
    bus = RedisBus(url=redis_of_all.url, prefix="bytes:")
    raw(redis_of_all).xadd(f"bytes:{STREAM}", {b"entry_price": b"1.25", b"\xff": b"\xfe\x00"})
    assert take(bus)[0].fields == {b"entry_price": b"1.25", b"\xff": b"\xfe\x00"}
    bus.close()


def test_ids_are_compared_as_numbers_when_a_stream_is_trimmed(redis_of_all):
    bus = RedisBus(url=redis_of_all.url, prefix="numbers:")
    for one in ("9-1", "9-10", "10-2", "18446744073709551614-3", "18446744073709551615-1"):
        raw(redis_of_all).xadd(f"numbers:{STREAM}", {"order_id": "o"}, id=one)
    take(bus)
    bus.acknowledge(STREAM, GROUP, ["9-1"])
    assert bus.trim(STREAM, keep=0) == 1
    bus.acknowledge(STREAM, GROUP, ["9-10", "10-2", "18446744073709551614-3"])
    assert bus.trim(STREAM, keep=0) == 3
    assert bus.state(STREAM).first == "18446744073709551615-1"
    bus.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"appendonly": "no"}, ["appendonly is no"]),
        ({"appendfsync": "everysec"}, ["appendfsync is everysec"]),
        (
            {"maxmemory": "100mb", "maxmemory_policy": "allkeys-lru"},
            ["maxmemory-policy is allkeys-lru"],
        ),
        ({}, []),
    ],
)
def test_settings_that_could_lose_events_are_said_once(caplog, options, said):
    with redis_server(**options) as server:
        bus = bus_at(server.url)
        for _ in range(3):
            bus.publish(STREAM, events(1))
        bus.close()
    warned = [one.message for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(warned) == len(said)
    for sentence, line in zip(said, warned, strict=True):
        assert f"events bus {server.url}: {sentence}" in line


def test_a_user_with_the_rights_to_streams_and_scripts_alone_can_use_the_bus(
    redis_alone, monkeypatch, caplog
):
    rights = ["~test:*", "+@stream", "+@read", "+@scripting", "+@connection", "+@transaction"]
    raw(redis_alone).execute_command("ACL", "SETUSER", "trader", "on", f">{SECRET}", *rights)
    monkeypatch.setenv(PASSWORD, SECRET)
    bus = bus_at(redis_alone.url.replace("//", "//trader@"))
    bus.publish(STREAM, events(2))
    bus.acknowledge(STREAM, GROUP, [take(bus)[0].id])
    assert len(bus.reclaim(STREAM, GROUP, "a", idle_s=0.0, most=9)) == 1
    assert bus.trim(STREAM, keep=0) == 1
    assert bus.state(STREAM).length == 1
    # Its settings are not to be read: nothing is said of them.
    assert not caplog.records
    with pytest.raises(BusDownError, match="give the user the rights to streams and scripts"):
        RedisBus(url=redis_alone.url.replace("//", "//trader@"), prefix="b:").state(STREAM)
    bus.close()


@pytest.mark.parametrize("password", [None, f"{SECRET}-wrong"])
def test_a_password_that_is_wrong_or_missing_is_told_and_never_shown(monkeypatch, caplog, password):
    caplog.set_level(logging.DEBUG)
    if password:
        monkeypatch.setenv(PASSWORD, password)
    with redis_server(requirepass=SECRET) as server:
        bus = bus_at(server.url)
        with pytest.raises(BusDownError, match="the password comes from the environment") as told:
            bus.publish(STREAM, events(1))
        monkeypatch.setenv(PASSWORD, SECRET)
        right = bus_at(server.url)
        right.publish(STREAM, events(1))
        server.kill()
        with pytest.raises(BusDownError) as down:
            right.publish(STREAM, events(1))
        shown = [repr(bus), repr(right), str(bus.__dict__["_place"]), caplog.text]
        for error in (told.value, down.value):
            shown += [str(error), repr(error), *traceback.format_exception(error)]
        assert SECRET not in "".join(shown)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": f"redis://:{SECRET}@localhost"}, f"hold no password: .* {PASSWORD}"),
        ({"url": f"redis://localhost?password={SECRET}"}, "hold no password"),
        ({"url": f"http://u:{SECRET}@localhost"}, "begin with redis://HOST or rediss://HOST"),
        ({"url": "localhost:6379"}, "begin with redis://HOST"),
        ({"url": "redis://localhost:many"}, "its port is none"),
        ({"url": "redis://localhost/first"}, "a number of a database as /0, was /first"),
        ({"url": "redis://localhost?db=1"}, "nothing after"),
        ({"url": "redis://localhost", "timeout_s": 0.0}, "timeout_s must be above 0"),
        ({"url": "redis://localhost", "ca_file": "ca.pem"}, "begins with rediss://"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_without_showing_a_password(given, said):
    with pytest.raises(ValueError, match=said) as refused:
        RedisBus(**({"prefix": ""} | given))
    assert SECRET not in str(refused.value)


def test_a_line_with_tls_checks_the_server_by_the_given_authority(tmp_path):
    certificate, key = self_signed(tmp_path)
    with redis_server() as server:
        server.stop()
        server.options |= {"tls-cert-file": certificate, "tls-key-file": key, "port": 0}
        server.options |= {"tls-port": server.port, "tls-auth-clients": "no"}
        server.begin()
        url = server.url.replace("redis:", "rediss:").replace("127.0.0.1", "localhost")
        bus = bus_at(url, ca_file=str(certificate))
        until(lambda: listens(server.port), "redis-server")
        bus.publish(STREAM, events(1))
        with pytest.raises(BusDownError, match="CERTIFICATE_VERIFY_FAILED"):
            bus_at(url).publish(STREAM, events(1))
        bus.close()


def listens(port):
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def self_signed(folder):
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "server.pem").write_bytes(made.public_bytes(pem))
    plain = serialization.NoEncryption()
    as_text = secret.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "server.key").write_bytes(as_text)
    return folder / "server.pem", folder / "server.key"
