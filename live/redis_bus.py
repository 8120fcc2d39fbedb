"""Redis Streams behind the bus's interface: consumer groups of a real server.

An event is as durable as the server's settings make it: only ``appendonly yes`` with ``appendfsync
always`` has it on disk when `publish` returns. Where the server says that it is otherwise, the bus
says so once, when it first connects.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from live.bus import (
    TRIMMED_AT_ONCE,
    BusDownError,
    Delivery,
    GroupState,
    StreamState,
    checked_counts,
    encoded,
    warn_of_deleted,
)
from live.redis_scripts import COUNT, TRIM
from live.redis_words import PASSWORD, checked_place, in_words, is_forbidden, losses

_log = logging.getLogger(__name__)

_BEFORE_ALL = "0-0"
_COUNTED_AT_ONCE = 1_000

Answer = TypeVar("Answer")
Entries = list[tuple[bytes, dict[bytes, bytes] | None]]


class RedisBus:
    """An `EventBus` on a redis-server, 7.0 or later; nothing is connected before the first call.

    Parameters
    ----------
    url
        ``redis://HOST:PORT/DB`` or, with TLS, ``rediss://...``; a user of Redis may stand before
        the host, a password may not: it comes from the environment, ``ASSAY_REDIS_PASSWORD``.
    prefix
        Put before the name of every stream.
    timeout_s
        How long any one answer of the server is waited for, in seconds.
    ca_file
        PEM file that the server's certificate is checked with; None: the system's own.

    Raises
    ------
    ValueError
        If the URL is none, or holds a password, or ``timeout_s`` is not above 0, or the package
        redis is missing.
    """

    def __init__(
        self, *, url: str, prefix: str, timeout_s: float = 5.0, ca_file: str | None = None
    ) -> None:
        if not timeout_s > 0.0:
            raise ValueError(f"timeout_s must be above 0 seconds, was {timeout_s}")
        self._place = checked_place(url)
        if ca_file is not None and not url.startswith("rediss:"):
            raise ValueError("ca_file goes with a url that begins with rediss://")
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._client = _client(url, timeout_s, ca_file)
        self._looked = threading.Event()

    def __repr__(self) -> str:
        return f"RedisBus({self._place})"

    def publish(self, stream: str, events: Sequence[Mapping[str, str]]) -> list[str]:
        """Append events in one transaction; see `EventBus.publish`."""
        to_send = encoded(events)
        if not to_send:
            return []
        key = self._prefix + stream

        def add() -> list[bytes]:
            with self._client.pipeline(transaction=True) as together:
                for event in to_send:
                    together.xadd(key, event)
                ids: list[bytes] = together.execute()
            return ids

        return [one.decode() for one in self._asked(add)]

    def take(
        self, stream: str, group: str, consumer: str, *, most: int, wait_s: float
    ) -> list[Delivery]:
        """Deliver new events; see `EventBus.take`. The server wakes a waiting caller."""
        checked_counts(most=most, wait_s=wait_s)
        give_up = time.monotonic() + wait_s
        while True:
            left_s = max(0.0, give_up - time.monotonic())
            # The server is given half the time an answer may take: a line that hangs is noticed.
            block_ms = int(1000 * min(left_s, self._timeout_s / 2)) or None
            found = self._read(stream, group, consumer, ">", most, block_ms)
            if found or block_ms is None:
                return [_delivery(stream, one, fields or {}, 1) for one, fields in found]

    def _read(
        self, stream: str, group: str, consumer: str, after: str, most: int, block_ms: int | None
    ) -> Entries:
        key = self._prefix + stream

        def read() -> Any:
            return self._client.xreadgroup(group, consumer, {key: after}, most, block_ms)

        def read_by_group() -> Any:
            try:
                return read()
            except self._errors.ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
            self._make_group(key, group)
            return read()

        answer = self._asked(read_by_group)
        return answer[0][1] if answer else []

    def _make_group(self, key: str, group: str) -> None:
        try:
            self._client.xgroup_create(key, group, id=_BEFORE_ALL, mkstream=True)
        except self._errors.ResponseError as error:
            # Another consumer was faster.
            if not str(error).startswith("BUSYGROUP"):
                raise

    def reclaim(
        self, stream: str, group: str, consumer: str, *, idle_s: float, most: int
    ) -> list[Delivery]:
        """Deliver pending events once more; see `EventBus.reclaim`."""
        checked_counts(most=most, idle_s=idle_s)
        if idle_s == 0.0:
            entries, gone = self._own(stream, group, consumer, most)
        else:
            idle_ms = max(1, int(1000 * idle_s))
            entries, gone = self._claimed(stream, group, consumer, idle_ms, most)
        if gone:
            # Deleted, but pending: they would come again for ever.
            self.acknowledge(stream, group, gone)
            warn_of_deleted(stream, group, gone)
        counts = self._deliveries(stream, group, [one for one, _ in entries])
        return [
            _delivery(stream, one, fields or {}, n)
            for (one, fields), n in zip(entries, counts, strict=True)
        ]

    def _own(self, stream: str, group: str, consumer: str, most: int) -> tuple[Entries, list[str]]:
        """Return this consumer's oldest pending entries, and ids of such as were deleted."""
        gone: list[str] = []
        after = _BEFORE_ALL
        while True:
            found = self._read(stream, group, consumer, after, most, None)
            here: Entries = [(one, fields) for one, fields in found if fields]
            gone += [one.decode() for one, fields in found if not fields]
            if here or not found:
                return here, gone
            after = found[-1][0].decode()

    def _claimed(
        self, stream: str, group: str, consumer: str, idle_ms: int, most: int
    ) -> tuple[Entries, list[str]]:
        """Return entries taken over from whoever has them, and ids of such as were deleted."""
        key, cursor = self._prefix + stream, _BEFORE_ALL
        entries: Entries = []
        gone: list[str] = []

        def claim() -> Any:
            try:
                return self._client.xautoclaim(
                    key, group, consumer, idle_ms, cursor, most - len(entries)
                )
            except self._errors.ResponseError as error:
                # Nothing can be pending in a group that nobody has made.
                if str(error).startswith("NOGROUP"):
                    return _BEFORE_ALL.encode(), [], []
                raise

        while len(entries) < most:
            following, found, *deleted = self._asked(claim)
            entries += [(one, fields) for one, fields in found if one is not None and fields]
            gone += [one.decode() for one in (deleted[0] if deleted else [])]
            cursor = following.decode()
            if cursor == _BEFORE_ALL:
                break
        return entries, gone

    def _deliveries(self, stream: str, group: str, ids: Sequence[bytes]) -> list[int]:
        """Return how often each of these was delivered, this time included."""
        key = self._prefix + stream
        if not ids:
            return []

        def look() -> list[list[dict[str, Any]]]:
            with self._client.pipeline(transaction=False) as together:
                for one in ids:
                    together.xpending_range(key, group, one, one, 1)
                found: list[list[dict[str, Any]]] = together.execute()
            return found

        return [int(one[0]["times_delivered"]) if one else 1 for one in self._asked(look)]

    def acknowledge(self, stream: str, group: str, ids: Sequence[str]) -> None:
        """Forget what is pending; see `EventBus.acknowledge`."""
        if ids:
            self._asked(lambda: self._client.xack(self._prefix + stream, group, *ids))

    def trim(self, stream: str, *, keep: int, without_group: bool = False) -> int:
        """Remove the oldest events; see `EventBus.trim`.

        The server looks for what groups still need, and removes, in one script: no group can be
        made in between.
        """
        checked_counts(keep=keep)
        key, removed = self._prefix + stream, 0
        given = (keep, int(without_group), TRIMMED_AT_ONCE)
        while True:
            n_now = int(self._asked(lambda: self._client.eval(TRIM, 1, key, *given)))
            removed += n_now
            if n_now < TRIMMED_AT_ONCE:
                return removed

    def state(self, stream: str) -> StreamState:
        """Look at a stream; see `EventBus.state`."""
        key = self._prefix + stream

        def look() -> StreamState:
            length = self._client.xlen(key)
            first = self._client.xrange(key, count=1)
            last = self._client.xrevrange(key, count=1)
            # XINFO refuses a key that is not there.
            groups = self._client.xinfo_groups(key) if self._client.exists(key) else []
            states = {one["name"].decode(): self._group_state(key, one) for one in groups}
            return StreamState(
                int(length),
                first[0][0].decode() if first else None,
                last[0][0].decode() if last else None,
                dict(sorted(states.items())),
            )

        return self._asked(look)

    def _group_state(self, key: str, told: Mapping[str, Any]) -> GroupState:
        lowest = self._client.xpending(key, told["name"])["min"]
        # Its own count, `lag`, is wrong after a crash: 565 were said of a stream that was empty.
        undelivered, after = 0, told["last-delivered-id"]
        while True:
            n_now, after = self._client.eval(COUNT, 1, key, after, _COUNTED_AT_ONCE)
            undelivered += int(n_now)
            if n_now < _COUNTED_AT_ONCE:
                break
        return GroupState(int(told["pending"]), undelivered, lowest.decode() if lowest else None)

    def close(self) -> None:
        """Close all connections; a later call opens them again."""
        self._client.connection_pool.disconnect()

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        """Ask the server once; whatever is wrong with it is a `BusDownError` of one line."""
        try:
            self._warn_once_of_loss()
            return ask()
        except (self._errors.RedisError, OSError) as error:
            # Whatever is half said on a line is not to be taken for the next answer; and behind
            # the same name another server may answer by now.
            self._client.connection_pool.disconnect(inuse_connections=False)
            raise BusDownError(f"events bus {self._place}: {in_words(error)}") from error

    @property
    def _errors(self) -> Any:
        import redis.exceptions

        return redis.exceptions

    def _warn_once_of_loss(self) -> None:
        """Say on the first call how a crash of the server could lose events, where it tells."""
        if self._looked.is_set():
            return
        try:
            told = self._client.config_get("append*", "maxmemory*")
        except self._errors.ResponseError as error:
            if not is_forbidden(error):
                raise
            told = {}
        self._looked.set()
        for sentence in losses(told):
            _log.warning("events bus %s: %s", self._place, sentence)


def _client(url: str, timeout_s: float, ca_file: str | None) -> Any:
    try:
        import redis
    except ImportError:
        raise ValueError("kind redis needs the package redis: pip install 'assay[redis]'") from None
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    secure = {"ssl_ca_certs": ca_file} if url.startswith("rediss:") else {}
    return redis.Redis.from_url(
        url,
        password=os.environ.get(PASSWORD) or None,
        protocol=2,
        decode_responses=False,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        # Whether a call is repeated is for its caller to say: an event may be there already.
        retry=Retry(NoBackoff(), 0),
        **secure,
    )


def _delivery(stream: str, one: bytes, fields: Mapping[bytes, bytes], n: int) -> Delivery:
    return Delivery(stream, one.decode(), fields, n)
