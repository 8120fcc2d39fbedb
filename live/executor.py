"""Carries out intents that come over the bus: each once, whatever comes twice.

An intent is written down as carried out together with the order that it led to, and acknowledged
after that. Killed in between, the executor is given it again and knows it by its id.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from live.bus import BusDownError, Delivery, EventBus
from live.events import (
    HARVEST_INTENT,
    TRADE_REJECTED,
    EventRefusedError,
    HarvestIntent,
    decoded,
)
from live.paper_book import OrderRefusedError, PaperBook
from live.paper_ledger import PaperLedger
from live.rejected import rejection

PLACED: Final = "placed"
_AT_A_TIME: Final = 256


@dataclass(slots=True)
class Counts:
    """What came over the bus: carried out, come again, refused, and meant for other accounts."""

    placed: int = 0
    repeated: int = 0
    refused: int = 0
    of_others: int = 0


class Executor:
    """The executor of one paper account.

    Parameters
    ----------
    bus : EventBus
    book : PaperBook
        Where orders are placed.
    ledger : PaperLedger
    save : callable
        Writes down where the account stands; called inside the ledger's transaction.
    """

    def __init__(
        self, bus: EventBus, book: PaperBook, ledger: PaperLedger, save: Callable[[], None]
    ) -> None:
        self.counts = Counts()
        self._bus, self._book, self._ledger, self._save = bus, book, ledger, save
        # Every account is given every intent, and leaves alone what is not its own.
        self._group = f"executor-{book.account_id}"
        self._owns = f"{book.account_id}-".encode()
        self._may_hold = True

    def carry_out(self, *, wait_s: float) -> None:
        """Carry out what has come, waiting so long for the first.

        Raises
        ------
        BusDownError
            If the bus cannot be used. What it may have delivered and lost on the way is taken back
            by the next call.
        """
        try:
            while self._may_hold:
                came = self._bus.reclaim(
                    HARVEST_INTENT, self._group, self._group, idle_s=0.0, most=_AT_A_TIME
                )
                self._carry_out(came)
                self._may_hold = bool(came)
            came = self._bus.take(
                HARVEST_INTENT, self._group, self._group, most=_AT_A_TIME, wait_s=wait_s
            )
            self._carry_out(came)
        except BusDownError:
            self._may_hold = True
            raise

    def _carry_out(self, came: list[Delivery]) -> None:
        if not came:
            return
        with self._ledger.transaction():
            for one in came:
                self._take(one)
            self._save()
        self._bus.acknowledge(HARVEST_INTENT, self._group, [one.id for one in came])

    def _take(self, delivery: Delivery) -> None:
        # Before it is read: what is wrong with another account's intents is that one's to say.
        if not delivery.fields.get(b"order_id", self._owns).startswith(self._owns):
            self.counts.of_others += 1
            return
        try:
            intent = decoded(HarvestIntent, delivery.fields)
        except EventRefusedError as error:
            self._refuse(delivery, f"{delivery.stream}-{delivery.id}", str(error), error.kind)
            return
        if intent.intent_id in self._ledger.carried_out:
            self.counts.repeated += 1
        else:
            self._place(intent, delivery)

    def _place(self, intent: HarvestIntent, delivery: Delivery) -> None:
        of_rules = intent.intent_id in self._ledger.waiting
        try:
            known_as = self._book.place(intent, of_rules=of_rules)
        except OrderRefusedError as error:
            field = str(error).partition(":")[0]
            self._refuse(delivery, intent.intent_id, str(error), field)
            return
        self.counts.placed += 1
        for intent_id in {intent.intent_id, known_as}:
            self._ledger.carry_out(intent_id, PLACED)

    def _refuse(self, delivery: Delivery, intent_id: str, reason: str, kind: str) -> None:
        """Keep what cannot be carried out whole, and send it to where refused events go."""
        self.counts.refused += 1
        fields = rejection(delivery, reason=reason, kind=kind)
        content = hashlib.sha256(json.dumps(fields).encode()).hexdigest()
        self._ledger.carry_out(intent_id, f"refused: {reason}", fields)
        self._ledger.outbox.add(TRADE_REJECTED, f"{self._group}-{content}", fields)
