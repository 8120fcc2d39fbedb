"""Events between processes: what every bus does, whatever keeps the events.

Delivery is at least once. An event that was taken and never acknowledged (its consumer was killed,
or an acknowledgement was lost with the line) comes again by `EventBus.reclaim`; one that was
published twice is there twice. Consumers are idempotent: they know an event by an id of its own.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

_log = logging.getLogger(__name__)

# A trim removes so many at once; others read and write in between.
TRIMMED_AT_ONCE = 1_000
_SHOWN = 5


class BusDownError(ConnectionError):
    """A bus cannot be used now: one line with which bus, what happened and what to do.

    Nothing is known of the call that raised it: it may have had its effect or not. The next call
    connects anew. Wait a little before it, and take back what may have been delivered and lost on
    the way by ``reclaim(..., idle_s=0)``.
    """


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event as it came, and how often it was delivered, this time included."""

    stream: str
    id: str
    fields: Mapping[bytes, bytes]
    deliveries: int


@dataclass(frozen=True, slots=True)
class GroupState:
    """How far the consumers of one group are.

    Attributes
    ----------
    pending
        Events that were delivered and not acknowledged.
    undelivered
        Events in the stream that no consumer of the group was given.
    lowest_pending
        Id of the oldest pending event; None without one.
    """

    pending: int
    undelivered: int
    lowest_pending: str | None


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream holds; ids are None and there are no groups where nothing was ever done."""

    length: int
    first: str | None
    last: str | None
    groups: Mapping[str, GroupState] = field(default_factory=dict)


class EventBus(Protocol):
    """Streams of events that groups of consumers share among them.

    Every group is given every event, and each event goes to one consumer of a group. A consumer's
    name is its own among those that run; it keeps it when it starts again. One object serves all
    threads of a process; all methods raise `BusDownError`.
    """

    def publish(self, stream: str, events: Sequence[Mapping[str, str]]) -> list[str]:
        """Append events, all or none; return their ids, ascending. On disk when it returns.

        Raises
        ------
        ValueError
            If an event has no field, or a name or a value that is no text.
        """
        ...

    def take(
        self, stream: str, group: str, consumer: str, *, most: int, wait_s: float
    ) -> list[Delivery]:
        """Return up to ``most`` events that no consumer of the group was given, oldest first.

        Waits up to ``wait_s`` seconds for the first one; empty if none came. A group that is new
        begins with the oldest event that the stream still has.
        """
        ...

    def reclaim(
        self, stream: str, group: str, consumer: str, *, idle_s: float, most: int
    ) -> list[Delivery]:
        """Return up to ``most`` events that were delivered and not acknowledged, oldest first.

        They are this consumer's from now on. ``idle_s=0``: only those that are its own already, as
        after its own restart; above: those of any consumer that were delivered so long ago. Events
        that were deleted meanwhile are acknowledged, and named in one warning.
        """
        ...

    def acknowledge(self, stream: str, group: str, ids: Sequence[str]) -> None:
        """Say that a group is done with these events: their effect is on disk."""
        ...

    def trim(self, stream: str, *, keep: int, without_group: bool = False) -> int:
        """Remove the oldest events beyond the ``keep`` newest; return how many went.

        What is pending in a group, or was not delivered to one, stays, and everything after it.
        A stream that has no group yet stays whole, as nobody has read it;
        ``without_group=True`` trims it all the same.
        """
        ...

    def state(self, stream: str) -> StreamState:
        """Return what a stream holds and how far its groups are."""
        ...

    def close(self) -> None:
        """Let go of connections; a later call opens them anew."""
        ...


def encoded(events: Sequence[Mapping[str, str]]) -> list[dict[bytes, bytes]]:
    """Return events as bytes; raises ValueError as `EventBus.publish`."""
    return [_encoded_event(event) for event in events]


def _encoded_event(event: Mapping[str, str]) -> dict[bytes, bytes]:
    if not event:
        raise ValueError("an event must have at least one field, this has none")
    for name, value in event.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ValueError(f"field {name!r} must be text, its value was {value!r}")  # noqa: TRY004
    try:
        return {name.encode(): value.encode() for name, value in event.items()}
    except UnicodeEncodeError as error:
        raise ValueError(f"a field must be text of UTF-8, was {error.object!r}") from None


def checked_counts(
    *, most: int = 1, keep: int = 0, wait_s: float = 0.0, idle_s: float = 0.0
) -> None:
    """Raise ValueError where a number that a caller gives makes no sense."""
    if keep < 0:
        raise ValueError(f"keep must be at least 0 events, was {keep}")
    if most < 1:
        raise ValueError(f"most must be at least 1, was {most}")
    if not 0.0 <= wait_s < float("inf"):
        raise ValueError(f"wait_s must be at least 0 seconds, was {wait_s}")
    if not 0.0 <= idle_s < float("inf"):
        raise ValueError(f"idle_s must be at least 0 seconds, was {idle_s}")


def warn_of_deleted(stream: str, group: str, ids: Sequence[str]) -> None:
    """Log one line about events that are gone and will not be delivered again, if there are any."""
    if ids:
        shown = ", ".join(ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")
        said = "%s: %d events were deleted before group %s was done with them, and it lost them: %s"
        _log.warning(said, stream, len(ids), group, shown)
