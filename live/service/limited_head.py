"""What stands around a body is limited as the body is: its size, and the time that it may take.

uvicorn's parser takes URL, headers, trailers and the extensions of chunks of any length, and waits
for the end of a head for ever, all before anybody has asked for a key.
"""

from asyncio import TimerHandle
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from live.service.problems import Problem

MOST_HEAD_BYTES: Final = 64 * 2**10


class LimitedHead(HttpToolsProtocol):
    """A connection that is closed where too much, or too slowly, comes that is no body.

    Closed at the latest one read of the socket (256 KiB) past `MOST_HEAD_BYTES`.

    Attributes
    ----------
    head_timeout_s : float
        From the first byte of a head, or from the connection, to the head's end.
    """

    head_timeout_s: ClassVar[float] = 10.0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Bytes since the last that were body, or the end of a head or a request.
        self._beside = 0
        self._waits: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for a first head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._wait_no_longer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, whatever they belong to."""
        self._beside += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._beside > MOST_HEAD_BYTES:
            detail = f"the head has more than the {MOST_HEAD_BYTES} bytes that are read"
            self._refuse(Problem(431, detail))
        elif self._waits is None and not self._is_answering():
            # uvicorn stops to wait for the next request with the first byte that comes.
            self._wait()

    def on_headers_complete(self) -> None:
        """Begin to answer; the body has a limit of its own."""
        super().on_headers_complete()
        self._beside = 0
        self._wait_no_longer()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        super().on_body(body)
        self._beside = 0

    def on_message_complete(self) -> None:
        """End a request."""
        super().on_message_complete()
        self._beside = 0

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form of all refusals."""
        self._refuse(Problem(400, msg))

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._waits = self.loop.call_later(self.head_timeout_s, self._too_late)

    def _wait_no_longer(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _too_late(self) -> None:
        if self._beside == 0:
            self.transport.close()
        else:
            detail = f"the head did not arrive within {self.head_timeout_s:g} s"
            self._refuse(Problem(408, detail))

    def _refuse(self, problem: Problem) -> None:
        """Close, and say why unless an answer is under way that this would be taken for."""
        if not self._is_answering():
            response = problem.response()
            lines = [f"HTTP/1.1 {problem.status} {problem.document()['title']}".encode()]
            lines += [name + b": " + value for name, value in response.raw_headers]
            lines += [b"connection: close", b"", bytes(response.body)]
            self.transport.write(b"\r\n".join(lines))
        self.transport.close()


def limited_head(timeout_s: float) -> type[LimitedHead]:
    """Return the class of connections whose heads may take so long."""
    return type(LimitedHead.__name__, (LimitedHead,), {"head_timeout_s": timeout_s})
