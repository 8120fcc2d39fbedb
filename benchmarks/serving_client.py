"""Clients for `benchmarks.serving`: prepared bytes over kept connections, every answer read whole.

A client costs a small part of what a server does, so that two cores measure the server.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


@dataclass(frozen=True, slots=True)
class Question:
    """One request, over and over."""

    port: int
    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    def wire(self) -> bytes:
        """Return the request as it is sent."""
        lines = [
            f"POST {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            "Content-Type: application/json",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return "\r\n".join(lines).encode() + _END + self.body


@dataclass(slots=True)
class Load:
    """What clients saw together."""

    seconds: float = 0.0
    asked: int = 0
    latencies_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def record(self) -> dict[str, float]:
        """Return percentiles in milliseconds, and requests a second."""
        if not self.latencies_s:
            raise SystemExit(f"no answer: {sorted(set(self.errors))}")
        p50, p99 = np.percentile(self.latencies_s, [50, 99]) * 1e3
        return {
            "p50_ms": round(float(p50), 3),
            "p99_ms": round(float(p99), 3),
            "requests_per_s": round(len(self.latencies_s) / self.seconds, 1),
            "requests": len(self.latencies_s),
            "errors": len(self.errors),
        }


class _Connection(asyncio.Protocol):
    """Sends and waits, one answer at a time."""

    def __init__(self) -> None:
        self._left = -1
        self._parts: list[bytes] = []
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP
        self._transport = transport

    def ask(self, wire: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        assert self._transport is not None  # noqa: S101 - connected
        self._answer = asyncio.get_running_loop().create_future()
        self._parts, self._left = [], -1
        self._transport.write(wire)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        if self._left < 0:
            joined = b"".join(self._parts)
            head, end, rest = joined.partition(_END)
            if not end:
                return
            lowered = head.lower()
            at = lowered.index(_LENGTH) + len(_LENGTH)
            self._left = int(lowered[at:].split(b"\r\n", 1)[0]) - len(rest)
            self._parts = [joined]
        else:
            self._left -= len(data)
        if self._left == 0 and self._answer is not None and not self._answer.done():
            whole = b"".join(self._parts)
            self._answer.set_result((int(whole[9:12]), whole.partition(_END)[2]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed without an answer"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def load(
    question: Question,
    *,
    clients: int,
    seconds: float,
    check: Callable[[int, bytes], str | None] = lambda status, body: (
        None if status == 200 else f"status {status}: {body[:300]!r}"
    ),
    until: Callable[[], bool] | None = None,
) -> Load:
    """Ask as fast as answers come, from so many clients at once.

    Parameters
    ----------
    question : Question
    clients : int
    seconds : float
        A tenth of it more goes before, unmeasured.
    check : callable
        Status and body to what is wrong with them, or None.
    until : callable or None
        Goes on until it says so instead, and measures all.
    """
    return asyncio.run(_load(question, clients, seconds, check, until))


async def _load(
    question: Question,
    clients: int,
    seconds: float,
    check: Callable[[int, bytes], str | None],
    until: Callable[[], bool] | None,
) -> Load:
    found, wire = Load(), question.wire()
    warm_s = 0.0 if until is not None else seconds / 10
    began_s = time.perf_counter() + warm_s
    end_s = began_s + seconds

    async def client() -> None:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(_Connection, "127.0.0.1", question.port)
        while not (time.perf_counter() >= end_s if until is None else until()):
            sent_s = time.perf_counter()
            found.asked += 1
            try:
                wrong = check(*await line.ask(wire))
            except ConnectionError as error:
                wrong = str(error)
                _, line = await loop.create_connection(_Connection, "127.0.0.1", question.port)
            if wrong is not None:
                found.errors.append(wrong)
            elif sent_s >= began_s:
                found.latencies_s.append(time.perf_counter() - sent_s)
        line.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    found.seconds = time.perf_counter() - began_s
    return found
