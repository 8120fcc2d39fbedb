"""The body of a request: read within limits while it arrives, and taken as JSON strictly."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from pydantic_core import from_json
from starlette.requests import ClientDisconnect, Request

from live.service.problems import Problem
from market.reading.safe_names import printable
from selection.strict_json import strict_json

JSON: Final = "application/json"
# What is refused for its size is still let in for so long and thrown away, or the sender would be
# cut off before it has read why.
_LINGER_S: Final = 1.0
_LINGER_BYTES: Final = 64 * 2**20
_CLOSE: Final = {"Connection": "close"}


async def read_body(request: Request, *, most_bytes: int, timeout_s: float) -> bytes:
    """Return the body; never holds more than ``most_bytes`` of it.

    Raises
    ------
    Problem
        415 of another content than JSON, 413 too large, 408 not all of it in time.
    """
    _check_content(request)
    pieces: list[bytes] = []
    left = most_bytes
    stream = request.stream()
    try:
        async with asyncio.timeout(timeout_s):
            async for piece in stream:
                left -= len(piece)
                if left < 0:
                    break
                pieces.append(piece)
    except TimeoutError:
        detail = f"the body did not arrive within {timeout_s:g} s"
        raise Problem(408, detail, headers=_CLOSE) from None
    if left < 0:
        await _thrown_away(stream, waits="expect" in request.headers)
        detail = f"the body has more than the {most_bytes} bytes that are read"
        raise Problem(413, detail, headers=_CLOSE)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _check_content(request: Request) -> None:
    kind, _, options = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != JSON:
        found = printable(kind.strip())[:60] or "none"
        raise Problem(415, f"the Content-Type must be {JSON}, was {found}", field="Content-Type")
    charset = options.replace(" ", "").replace('"', "").lower()
    if charset not in ("", "charset=utf-8", "charset=utf8"):
        detail = f"the text must be UTF-8, was {printable(options.strip())[:60]}"
        raise Problem(415, detail, field="Content-Type")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        detail = f"the body must not be compressed, was {printable(coding)[:60]}"
        raise Problem(415, detail, field="Content-Encoding")


async def _thrown_away(stream: AsyncIterator[bytes], *, waits: bool) -> None:
    """Let the rest of a body in; a sender that waits to be asked for it is not asked."""
    if waits:
        return
    left = _LINGER_BYTES
    with contextlib.suppress(TimeoutError, ClientDisconnect):
        async with asyncio.timeout(_LINGER_S):
            async for piece in stream:
                left -= len(piece)
                if left < 0:
                    return


def document_of(body: bytes) -> Any:
    """Return what a body holds.

    Raises
    ------
    Problem
        400: it is no JSON, is nested too deeply, holds NaN or Infinity, a text that is none, or an
        object with one key twice.
    """
    try:
        found = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        said = printable(str(error)).partition(" at line")
        raise Problem(400, f"is not JSON: {said[0]}{said[1]}{said[2]}"[:200]) from None
    # Every key has its colon. As many colons as keys: none was there twice, and no more is to be
    # looked at. Texts may hold colons too, and then the slower reader tells.
    if body.count(b":") != _keys(found):
        try:
            strict_json(body, most_bytes=len(body))
        except ValueError as error:
            raise Problem(400, str(error)) from None
    return found


def _keys(document: Any) -> int:
    """Return how many keys all objects of a document have together."""
    count, waiting = 0, [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            count += len(one)
            waiting.extend(one.values())
        elif isinstance(one, list) and one and isinstance(one[0], dict | list):
            waiting.extend(one)
        elif isinstance(one, list):
            # Rows of numbers are long; what else stands among them is refused later on.
            continue
    return count
