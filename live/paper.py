"""Paper trading: a replay as if it were live, with events between who decides and who carries out.

At every close the rules decide as in a backtest, by the same code. What they order for the next
open travels as an intent over the bus to the executor, and only what that places is filled. Trades
that close are told on the bus. All of a step is written down together before anything of it is
sent, so an account that was killed goes on where it was, and tells nothing that it has not done.
"""

import time
from collections.abc import Callable
from typing import Final

from backtest.replaying import Replaying
from live.bus import BusDownError, EventBus
from live.events import HARVEST_INTENT, TRADE_CLOSED, HarvestIntent, fields_of
from live.executor import Executor
from live.outage import Outage
from live.paper_account import PaperAccount
from live.paper_book import PaperBook
from live.paper_ledger import PaperLedger

OnProgress = Callable[[int, int], None]

_STEPS_PER_SAVE: Final = 2_000
_LONGEST_WAIT_S: Final = 0.5
_INTENTS_KEPT: Final = 10_000
# An intent that was sent and has not come by then is sent once more: its bus may have lost it.
_SENT_AGAIN_AFTER_S: Final = 5.0
_MOST_SENT: Final = 12


class PaperTrader:
    """Trades one account on paper until its bars end.

    Parameters
    ----------
    replaying : Replaying
        Into which the account was restored.
    book : PaperBook
    account : PaperAccount
    ledger : PaperLedger
    bus : EventBus
    outage : Outage
        How a bus that is down is waited for.

    Attributes
    ----------
    executor : Executor
    n_told : int
        Trades that were told, those of earlier runs included.
    """

    def __init__(
        self,
        replaying: Replaying,
        book: PaperBook,
        account: PaperAccount,
        ledger: PaperLedger,
        bus: EventBus,
        outage: Outage,
    ) -> None:
        self._replaying, self._book = replaying, book
        self._account, self._ledger = account, ledger
        self._bus, self._call = bus, outage.waited_out
        self.executor = Executor(bus, book, ledger, self._save)
        self.n_told = int(replaying.logs.run[0]["n_trades"])
        self._saved_at = replaying.step

    def trade(self, on_progress: OnProgress | None = None) -> None:
        """Go through all bars that there are.

        Raises
        ------
        BusDownError
            If the bus is down for longer than there is patience.
        ValueError
            If a policy's answer is not finite.
        """
        replaying = self._replaying
        self._go_on()
        while replaying.step < replaying.n_steps:
            step = replaying.step
            # Where nothing is open nothing can happen before a model asks for an entry.
            until = step + 1 if replaying.n_busy else replaying.next_wanted + 1
            replaying.go_to(min(until, step + _STEPS_PER_SAVE))
            self._after_step()
            if on_progress is not None:
                on_progress(replaying.step, replaying.n_steps)
        self._tell([])
        self._call(lambda: self._bus.trim(HARVEST_INTENT, keep=_INTENTS_KEPT))

    def _go_on(self) -> None:
        """Finish what an earlier run has begun to tell and to carry out."""
        self._deliver()
        self._call(lambda: self.executor.carry_out(wait_s=0.0))
        self._wait_for_orders()

    def _after_step(self) -> None:
        self._book.note_entries()
        intents = self._book.intents(self._ledger.carried_out)
        n_closed = int(self._replaying.logs.run[0]["n_trades"])
        long_ago = self._replaying.step - self._saved_at >= _STEPS_PER_SAVE
        if intents or n_closed > self.n_told or long_ago:
            self._tell(intents)
        elif self._replaying.n_busy:
            # Others may want something done with what is open.
            self._call(lambda: self.executor.carry_out(wait_s=0.0))

    def _tell(self, intents: list[HarvestIntent]) -> None:
        """Write a step down and send what it has to tell; its orders are placed on return."""
        closed = self._book.closed(self.n_told)
        with self._ledger.transaction():
            for intent in intents:
                self._ledger.tell(intent.intent_id, fields_of(intent))
                self._ledger.outbox.add(HARVEST_INTENT, intent.intent_id, fields_of(intent))
            for trade in closed:
                self._ledger.outbox.add(TRADE_CLOSED, trade.order_id, fields_of(trade))
            self._book.forget_closed(self.n_told)
            self._save()
        self.n_told += len(closed)
        self._saved_at = self._replaying.step
        self._deliver()
        self._wait_for_orders()

    def _save(self) -> None:
        self._account.save(self._replaying, self._book.still_open)

    def _deliver(self) -> None:
        self._call(lambda: self._ledger.deliver(self._bus))

    def _wait_for_orders(self) -> None:
        """Carry out intents until none is on its way; the market opens no earlier.

        Raises
        ------
        BusDownError
            If they never come back.
        """
        sent_s, n_sent = time.monotonic(), 1
        while self._ledger.waiting:
            self._call(lambda: self.executor.carry_out(wait_s=_LONGEST_WAIT_S))
            if self._ledger.waiting and time.monotonic() - sent_s > _SENT_AGAIN_AFTER_S:
                if n_sent == _MOST_SENT:
                    raise BusDownError(
                        f"events bus: {min(self._ledger.waiting)} was published {n_sent} times and "
                        f"never came back on {HARVEST_INTENT}; see to the bus"
                    )
                self._call(self._send_again)
                sent_s, n_sent = time.monotonic(), n_sent + 1
        if self._ledger.outbox.waiting():
            self._deliver()

    def _send_again(self) -> None:
        lost = [self._ledger.told(one) for one in sorted(self._ledger.waiting)]
        self._bus.publish(HARVEST_INTENT, lost)
