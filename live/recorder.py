"""Closed trades from the bus to the disk: each once, whatever is killed when.

An event is acknowledged only after its trade is on disk, so it comes again where a kill fell in
between; a trade that is recorded already is then known by its ``order_id`` and left alone.
"""

import hashlib
import logging
import math
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from live.alerts import Alert, Alerts
from live.bus import BusDownError, Delivery, EventBus
from live.events import (
    TRADE_CLOSED,
    TRADE_REJECTED,
    EventRefusedError,
    TradeClosed,
    decoded,
    unknown_fields,
)
from live.outage import Outage
from live.rejected import RejectedLog, as_text, rejection
from live.trade_log import Entry, TradeLog
from market.reading.safe_names import clipped

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """How a recorder goes about it; the keys of ``conf/record.yaml``, section ``record``.

    Attributes
    ----------
    folder : str
        Where the files are.
    group : str
        Consumer group; recorders of one group share the events among them.
    rotate_mb : float
        Size from which a file is written no further.
    most : int
        Events taken at a time: one write to the disk each.
    wait_s : float
        For events, before it is looked whether to end.
    reclaim_after_s : float
        Age from which what another recorder took and never acknowledged is taken over.
    keep : int
        Events that stay in a stream when it is trimmed.
    trim_every_s : float

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    folder: str = "runs/live"
    group: str = "recorder"
    rotate_mb: float = 64.0
    most: int = 500
    wait_s: float = 1.0
    reclaim_after_s: float = 60.0
    keep: int = 100_000
    trim_every_s: float = 60.0

    def __post_init__(self) -> None:
        for name in ("folder", "group"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} must not be empty")
        for name in ("rotate_mb", "wait_s", "reclaim_after_s", "trim_every_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, was {getattr(self, name)}")
        for name in ("most", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, was {getattr(self, name)}")

    @property
    def rotate_bytes(self) -> int:
        """Return ``rotate_mb`` in bytes."""
        return max(1, int(self.rotate_mb * 1e6))


@dataclass(slots=True)
class Tally:
    """What a recorder has done since its start.

    Attributes
    ----------
    recorded : int
        Trades that were new.
    absorbed : int
        Events of trades that were recorded already, with the same content.
    refused : Counter
        Events by what was wrong first, such as ``"entry_price: missing"``.
    refused_again : int
        Refused events that came again after they had been kept.
    unknown : Counter
        Trades by a field that the model does not know; it is kept with them.
    trimmed, outages : int
    """

    recorded: int = 0
    absorbed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    refused_again: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    trimmed: int = 0
    outages: int = 0


class Recorder:
    """Takes ``trade.closed`` from a bus and keeps what it says.

    Parameters
    ----------
    bus : EventBus
    log : TradeLog
    rejected : RejectedLog
    alerts : Alerts
    rules : Recording
    patience_s : float or None
        How long a bus may be down; None waits for ever.
    """

    def __init__(
        self,
        bus: EventBus,
        log: TradeLog,
        rejected: RejectedLog,
        alerts: Alerts,
        rules: Recording,
        *,
        patience_s: float | None,
    ) -> None:
        self._bus, self._log, self._rejected, self._alerts = bus, log, rejected, alerts
        self._rules = rules
        self._consumer = consumer_name(Path(rules.folder))
        self._outage = Outage(alerts, patience_s=patience_s, who="the recorder")
        self._reclaimed_s = self._trimmed_s = -math.inf
        self.tally = Tally()

    def run(self, stop: threading.Event, *, follow: bool) -> None:
        """Record until told to stop, or, without ``follow``, until nothing is left to take.

        Raises
        ------
        BusDownError
            If the bus was down for longer than the patience.
        OSError
            If a trade cannot be written; nothing that is not on disk was acknowledged.
        """
        is_fresh = True
        while not stop.is_set():
            try:
                if is_fresh:
                    self._take_back(stop)
                    is_fresh = False
                n_taken = self._round(wait_s=self._rules.wait_s if follow else 0.0)
            except BusDownError as error:
                # What was taken and not acknowledged is this recorder's still.
                is_fresh = True
                self._outage.wait(error, stop)
                self.tally.outages = self._outage.count
                continue
            self._outage.over()
            if n_taken == 0 and not follow:
                return

    def _take_back(self, stop: threading.Event) -> None:
        """Deal with what this recorder took before a kill or an outage and did not acknowledge."""
        while not stop.is_set() and (found := self._reclaimed(idle_s=0.0)):
            self.handle(found)

    def _round(self, *, wait_s: float) -> int:
        """Take what there is once, deal with it and tidy up; return how many events it was."""
        n_taken, now_s = 0, time.monotonic()
        if now_s - self._reclaimed_s >= self._rules.reclaim_after_s:
            found = self._reclaimed(idle_s=self._rules.reclaim_after_s)
            self.handle(found)
            n_taken += len(found)
            # A full batch: there may be more.
            if len(found) < self._rules.most:
                self._reclaimed_s = now_s
        found = self._bus.take(
            TRADE_CLOSED, self._rules.group, self._consumer, most=self._rules.most, wait_s=wait_s
        )
        self.handle(found)
        if now_s - self._trimmed_s >= self._rules.trim_every_s:
            self._trim()
            self._trimmed_s = now_s
        return n_taken + len(found)

    def _reclaimed(self, *, idle_s: float) -> list[Delivery]:
        return self._bus.reclaim(
            TRADE_CLOSED, self._rules.group, self._consumer, idle_s=idle_s, most=self._rules.most
        )

    def _trim(self) -> None:
        self.tally.trimmed += self._bus.trim(TRADE_CLOSED, keep=self._rules.keep)
        # Nobody need read these: whoever refuses keeps them, the recorder in a file, the paper
        # executor in its ledger.
        self._bus.trim(TRADE_REJECTED, keep=self._rules.keep, without_group=True)

    def handle(self, deliveries: Sequence[Delivery]) -> None:
        """Keep a batch, trades and refused ones, and acknowledge it."""
        if not deliveries:
            return
        new: dict[str, Entry] = {}
        done: list[str] = []
        refused: dict[str, dict[str, str]] = {}
        absorbed = 0
        for one in deliveries:
            try:
                trade = decoded(TradeClosed, one.fields)
                is_new = self._is_new(trade, new)
            except EventRefusedError as error:
                refused[one.id] = rejection(one, reason=str(error), kind=error.kind)
                continue
            if is_new:
                new[trade.order_id] = Entry(trade, one.id, self._unknown(one))
            absorbed += not is_new
            done.append(one.id)
        self._log.append(list(new.values()))
        self.tally.recorded += len(new)
        self.tally.absorbed += absorbed
        # Before the refused ones are looked at: whatever happens to those, these are done.
        if done:
            self._bus.acknowledge(TRADE_CLOSED, self._rules.group, done)
        self._refuse(refused)

    def _is_new(self, trade: TradeClosed, new: dict[str, Entry]) -> bool:
        """Tell whether a trade is to be written; raise where it contradicts what is recorded."""
        if trade.order_id in new:
            earlier = new[trade.order_id].trade
            other = [name for name, value in trade if getattr(earlier, name) != value]
        else:
            found = self._log.other_than(trade)
            if found is None:
                return True
            other = found
        if other:
            raise EventRefusedError(
                f"order_id: {clipped(trade.order_id)} was recorded with another "
                f"{', '.join(other)}; the first one stays",
                kind=f"order_id: recorded with another {other[0]}",
            )
        return False

    def _unknown(self, delivery: Delivery) -> dict[str, str | dict[str, str]]:
        """Return the fields of an event that are none of ours, so that nothing is lost."""
        found = unknown_fields(TradeClosed, delivery.fields)
        names = {name: name.decode(errors="backslashreplace") for name in found}
        self.tally.unknown.update(names.values())
        return {names[name]: as_text(value) for name, value in found.items()}

    def _refuse(self, refused: dict[str, dict[str, str]]) -> None:
        """Keep refused events on their stream, then in their file, then acknowledge them."""
        if not refused:
            return
        # In the file means on the stream: a kill in between publishes once more, and never loses.
        new = self._rejected.new_ones(list(refused.values()))
        if new:
            self._bus.publish(TRADE_REJECTED, new)
            self._rejected.append(new)
        self._bus.acknowledge(TRADE_CLOSED, self._rules.group, list(refused))
        kinds = Counter(one["kind"] for one in new)
        for one in new:
            if one["kind"] not in self.tally.refused:
                logger.warning("event %s refused: %s", one["original_id"], one["reason"])
            self.tally.refused[one["kind"]] += 1
        self.tally.refused_again += len(refused) - len(new)
        if new:
            words = ", ".join(f"{count} by {kind}" for kind, count in kinds.most_common(3))
            self._alerts.send(
                Alert(
                    "trades_refused",
                    f"closed trades refused: {words}",
                    facts={"first": new[0]["original_id"], "kept in": str(self._rejected.path)},
                )
            )


def consumer_name(folder: Path) -> str:
    """Return the name of the recorder of a folder: the same after a restart."""
    place = f"{socket.gethostname()}:{folder.resolve()}"
    return f"recorder-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
