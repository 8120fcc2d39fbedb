"""One HTTP request and its answer within a limit of time that holds for all of it.

A socket's own time-out begins anew with each piece that arrives, and looking up a name has none.
So the call is made by a thread of its own, which is left behind when the time is up.
"""

import contextlib
import http.client
import queue
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_LATE = "no answer in time"


class NoAnswerError(OSError):
    """There was no answer that can be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of an answer."""

    status: int
    body: bytes


@dataclass(slots=True)
class _Call:
    """What a thread is to send, and where it puts what comes back."""

    body: bytes
    most_bytes: int
    done: "queue.SimpleQueue[Answer | Exception]" = field(default_factory=queue.SimpleQueue)


class HttpCaller:
    """Posts to one address, over one connection that is kept open.

    Parameters
    ----------
    url : str
        ``http://host:port/path`` or https.
    headers : mapping
        Sent with every request.

    Raises
    ------
    ValueError
        If the address is none.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url must be like http://host:port/path, was {url!r}")
        if parts.username is not None or parts.password is not None:
            raise ValueError("url must hold no user and no password: give a key instead")
        self._address = parts.scheme == "https", parts.hostname, parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = dict(headers)
        self._worker: _Worker | None = None

    def post(self, body: bytes, *, most_bytes: int, timeout_s: float) -> Answer:
        """Send a body and return what comes back; redirections are not followed.

        Parameters
        ----------
        body : bytes
        most_bytes : int
            That an answer may have.
        timeout_s : float
            To the last byte of the answer, name look-up and connection included.

        Raises
        ------
        NoAnswerError
            If there is none in time, it cannot be reached, or answers with more than so many bytes
            or with what is no HTTP.
        """
        if self._worker is None:
            connection = _connection(*self._address, timeout_s)
            self._worker = _Worker(connection, self._path, self._headers)
        call = _Call(body, most_bytes)
        self._worker.calls.put(call)
        try:
            found = call.done.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            self.close()
            raise NoAnswerError(_LATE) from None
        if isinstance(found, Exception):
            self.close()
            raise NoAnswerError(_said(found)) from found
        return found

    def close(self) -> None:
        """Leave the connection, whatever it is doing; the next call opens another."""
        if self._worker is not None:
            self._worker.leave()
            self._worker = None


class _Worker:
    """A thread that makes one call after another over its connection."""

    def __init__(
        self, connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]
    ) -> None:
        self.calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._connection, self._path, self._headers = connection, path, headers
        self._left = False
        threading.Thread(target=self._work, name="exits remote service", daemon=True).start()

    def leave(self) -> None:
        """Let the thread end as soon as it can."""
        self.calls.put(None)
        # First this, then the look at the socket; the thread does it the other way round.
        self._left = True
        opened = self._connection.sock
        if opened is not None:
            with contextlib.suppress(OSError):
                # Of the connection itself: what is secure on top of it is the thread's alone.
                socket.socket.shutdown(opened, socket.SHUT_RDWR)

    def _work(self) -> None:
        with contextlib.closing(self._connection):
            while (call := self.calls.get()) is not None:
                try:
                    call.done.put(self._answer(call))
                except (OSError, http.client.HTTPException, ValueError) as error:
                    call.done.put(error)
                    self._connection.close()

    def _answer(self, call: _Call) -> Answer:
        reused = self._connection.sock is not None
        try:
            response = self._asked(call)
        except (ConnectionError, http.client.BadStatusLine):
            # The other side may close what lies idle, and has then not seen the question.
            if not reused:
                raise
            self._connection.close()
            response = self._asked(call)
        body = response.read(call.most_bytes + 1)
        if len(body) > call.most_bytes:
            raise OSError(f"its answer has more than {call.most_bytes} bytes")
        return Answer(response.status, body)

    def _asked(self, call: _Call) -> http.client.HTTPResponse:
        if self._connection.sock is None:
            self._connection.connect()
        if self._left:
            raise TimeoutError
        self._connection.request("POST", self._path, call.body, self._headers)
        return self._connection.getresponse()


def _connection(
    secure: bool, host: str, port: int | None, timeout_s: float
) -> http.client.HTTPConnection:
    # The thread gives up by itself some time after it was left.
    if secure:
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def _said(error: Exception) -> str:
    """Return the same words for the same kind of failure."""
    if isinstance(error, TimeoutError):
        return _LATE
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionError):
        return "connection lost"
    if isinstance(error, http.client.HTTPException):
        return "its answer is no HTTP"
    if isinstance(error, OSError):
        return str(error)
    return "it cannot be asked"
