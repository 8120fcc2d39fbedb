"""What comes before a body, beside it and after it is limited, whoever sends it."""

import http.client
import json
import socket
import time

import pytest

START = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /v1/exits HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSED = b"POST /v1/exits HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
MOST_SENT = 24 * 2**20
PIECE = 2**16


def line_to(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def heard(line):
    """Return what comes until the other side has closed."""
    pieces = []
    while piece := line.recv(PIECE):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (START + b"X-A: ", b"a" * PIECE),
        (b"GET /", b"a" * PIECE),
        (START, b"X-A: b\r\n" * (PIECE // 8)),
        (CHUNKED + b"1", b";a=b" * (PIECE // 4)),
        (CHUNKED + b"0\r\n", b"X-A: b\r\n" * (PIECE // 8)),
        (b"", b"\r\n" * (PIECE // 2)),
    ],
    ids=["header", "url", "headers", "extension", "trailers", "nothing"],
)
def test_what_is_no_body_is_cut_off_however_it_is_sent(server, start, piece):
    with line_to(server) as line:
        line.sendall(start)
        with pytest.raises(OSError, match=r"reset|pipe"):
            line.sendall(piece * (MOST_SENT // PIECE))
    assert server.http.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("head", "status"), [(START + b"X-A: " + b"a" * 70_000, 431), (b"no HTTP\r\n\r\n", 400)]
)
def test_a_head_that_cannot_be_read_is_refused_in_the_form_of_all_refusals(server, head, status):
    with line_to(server) as line:
        line.sendall(head)
        answer = http.client.HTTPResponse(line)
        answer.begin()
        assert answer.getheader("content-type") == "application/problem+json"
        assert json.loads(answer.read())["status"] == answer.status == status


@pytest.mark.parametrize(
    ("start", "said"), [(b"", b""), (START, b"HTTP/1.1 408 "), (b"\r\n", b"HTTP/1.1 408 ")]
)
def test_half_a_head_is_given_up_on(server, start, said):
    with line_to(server) as line:
        line.sendall(start)
        assert heard(line).startswith(said)


def test_a_head_that_comes_byte_by_byte_is_given_up_on(server):
    with line_to(server) as line:
        line.sendall(START)
        line.settimeout(0.2)
        for _ in range(50):
            try:
                line.sendall(b"X")
                assert line.recv(PIECE).startswith(b"HTTP/1.1 408 ")
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("it was never closed")


def test_a_body_that_nobody_waits_for_does_not_keep_its_connection(server):
    with line_to(server) as line:
        line.sendall(REFUSED)
        answer = http.client.HTTPResponse(line)
        answer.begin()
        assert answer.status == 401
        answer.read()
        line.sendall(b"{")
        assert heard(line) == b""


def test_a_connection_may_wait_longer_between_requests_than_within_a_head(server):
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    client.connect()
    first = client.sock
    for _ in range(2):
        client.request("GET", "/health")
        assert client.getresponse().read() == b'{"status":"alive"}'
        time.sleep(1.5)
    assert client.sock is first
    client.close()
