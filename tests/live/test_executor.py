"""Intents that come over the bus: each carried out once, and parts are parts."""

from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import pytest

from backtest.replaying import Replaying
from exits.policy import HoldToBarrier
from live.bus import BusDownError
from live.events import HARVEST_INTENT, TRADE_REJECTED, HarvestIntent, fields_of
from live.executor import Executor
from live.paper_book import PaperBook
from live.paper_ledger import FILE, PaperLedger
from live.rejected import original_fields
from tests.backtest.test_replay import FREE, NO_SESSIONS, Account, market
from tests.live.papers import BY, NAME, sqlite_bus

# It stays open until somebody wants it closed.
PATIENT = HoldToBarrier(profit_atr=50.0, stop_atr=5.0, max_bars=500)
FLAT = ((100.0, 100.5, 99.5, 100.0),) * 12


class Desk:
    """One open long position of 100 %, its executor, and a way to send intents."""

    def __init__(self, folder):
        self.bus = sqlite_bus(folder)
        self.ledger = PaperLedger(folder / FILE)
        self.replaying = Replaying(
            [market(*FLAT)], PATIENT, exits=NO_SESSIONS, costs=FREE, account=Account()
        )
        self.book = PaperBook(self.replaying, None, NAME, {"X": BY}, {})
        self.saves = 0
        self.executor = Executor(self.bus, self.book, self.ledger, self._save)
        self.replaying.go_to(42)
        self.book.note_entries()
        assert self.replaying.n_busy == 1

    def _save(self):
        self.saves += 1

    def send(self, *intents):
        self.bus.publish(HARVEST_INTENT, [fields_of(one) for one in intents])
        self.executor.carry_out(wait_s=0.0)

    @property
    def share(self):
        return float(self.replaying.world.positions[0]["share"])

    def on(self, n_bars):
        self.replaying.go_to(self.replaying.step + n_bars)
        return self


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    with closing(made.bus), closing(made.ledger):
        yield made


def intent(**changed):
    known = {
        "timestamp": datetime(2024, 1, 2, 9, tzinfo=UTC),
        "symbol": "X",
        "side": "LONG",
        "order_id": f"{NAME}-0",
        "action": "PARTIAL_CLOSE",
        "fraction": 0.35,
        "entry_price": 100.0,
        "current_price": 100.0,
        "r": 0.1,
        "scores": {"hold": 3.0, "exit": 3.0},
        "reasons": ("by hand",),
        "intent_id": "one",
    }
    return HarvestIntent(**(known | changed))


def test_a_part_is_closed_at_the_next_open_and_the_rest_keeps_its_stop(desk):
    before = desk.replaying.world.positions[0].copy()
    desk.send(intent())
    assert desk.share == 1.0
    desk.on(1)
    after = desk.replaying.world.positions[0]
    assert desk.share == pytest.approx(0.65)
    assert (after["open"], after["stop"]) == (1, before["stop"])
    partial = desk.replaying.replayed().partials.row(0, named=True)
    assert (partial["rule"], partial["share"]) == ("evaluator", pytest.approx(0.35))


def test_an_intent_that_comes_twice_is_carried_out_once(desk):
    desk.send(intent(), intent())
    desk.on(1).send(intent())
    desk.on(2)
    assert desk.share == pytest.approx(0.65)
    assert (desk.executor.counts.placed, desk.executor.counts.repeated) == (1, 2)


def test_what_is_left_is_what_the_next_part_is_of(desk):
    for number in range(3):
        desk.send(intent(intent_id=str(number), fraction=0.5))
        desk.on(1)
    assert desk.share == pytest.approx(0.125)
    desk.send(intent(intent_id="all", action="CLOSE", fraction=1.0))
    trade = desk.on(1).replaying.replayed().trades.row(0, named=True)
    assert (trade["n_partials"], trade["exit_rule"]) == (3, "evaluator_close")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"order_id": f"{NAME}-7"}, f"order_id: {NAME}-7 is no open position"),
        ({"symbol": "Y"}, f"symbol: Y is not traded by {NAME}"),
        ({"side": "SHORT"}, f"side: {NAME}-0 is LONG, not SHORT"),
        ({"fraction": 0.99}, "fraction: 0.99 of the 1 that is left"),
    ],
)
def test_an_intent_that_cannot_be_carried_out_is_refused_with_its_reason(desk, changed, reason):
    desk.send(intent(**changed))
    assert (desk.on(1).share, desk.executor.counts.refused) == (1.0, 1)
    desk.ledger.outbox.deliver(desk.bus)
    [refused] = desk.bus.take(TRADE_REJECTED, "test", "test", most=9, wait_s=0.0)
    assert refused.fields[b"reason"].decode().startswith(reason)
    assert b"original_id" in refused.fields


def test_an_event_that_is_no_intent_is_refused_and_stops_nothing(desk):
    broken = {name: one for name, one in fields_of(intent()).items() if name != "fraction"}
    desk.bus.publish(HARVEST_INTENT, [broken])
    desk.send(intent())
    assert (desk.executor.counts.placed, desk.executor.counts.refused) == (1, 1)


def test_intents_of_other_accounts_are_left_alone(desk):
    desk.send(intent(order_id="paper-other-0"))
    assert desk.on(1).share == 1.0
    assert (desk.executor.counts.of_others, desk.executor.counts.refused) == (1, 0)
    assert desk.bus.state(HARVEST_INTENT).groups[f"executor-{NAME}"].pending == 0


def test_an_intent_is_acknowledged_only_after_it_is_written_down(desk, monkeypatch):
    def fail():
        raise OSError("disk full")

    monkeypatch.setattr(desk.executor, "_save", fail)
    with pytest.raises(OSError, match="disk full"):
        desk.send(intent())
    assert desk.bus.state(HARVEST_INTENT).groups[f"executor-{NAME}"].pending == 1
    again = Executor(desk.bus, desk.book, PaperLedger(desk.ledger.path), lambda: None)
    again.carry_out(wait_s=0.0)
    assert again.counts.placed == 1


def test_a_part_of_a_part_never_leaves_less_than_is_worth_an_order(desk):
    rng = np.random.default_rng(3)
    for number in range(40):
        desk.send(intent(intent_id=str(number), fraction=float(rng.uniform(0.01, 0.99))))
        desk.on(1)
        assert desk.share == 0.0 or desk.share >= 0.05


def test_two_parts_before_one_open_are_both_taken_each_of_what_the_other_leaves(desk):
    desk.send(intent(fraction=0.3), intent(intent_id="two", fraction=0.2))
    assert desk.on(1).share == pytest.approx(0.7 * 0.8)


def test_nothing_is_ordered_of_what_is_to_be_closed(desk):
    close = intent(intent_id="all", action="CLOSE", fraction=1.0)
    desk.send(close, intent(), intent(intent_id="again", action="CLOSE", fraction=1.0))
    assert desk.executor.counts.refused == 2
    assert desk.on(1).replaying.n_busy == 0


def test_the_words_of_others_choose_no_rule(desk):
    desk.send(intent(action="CLOSE", fraction=1.0, reasons=("partial_1",)))
    trade = desk.on(1).replaying.replayed().trades.row(0, named=True)
    assert trade["exit_rule"] == "evaluator_close"


def test_an_order_of_others_that_is_not_filled_yet_is_not_told_again(desk):
    desk.send(intent())
    assert desk.book.intents(desk.ledger.carried_out) == []
    assert desk.on(1).share == pytest.approx(0.65)


def test_what_was_delivered_and_lost_on_the_line_is_carried_out_by_the_next_call(desk, monkeypatch):
    desk.executor.carry_out(wait_s=0.0)
    take = desk.bus.take

    def lost(*args, **kwargs):
        take(*args, **kwargs)
        raise BusDownError("events bus: the line was cut")

    monkeypatch.setattr(desk.bus, "take", lost)
    with pytest.raises(BusDownError):
        desk.send(intent())
    monkeypatch.undo()
    desk.executor.carry_out(wait_s=0.0)
    assert desk.on(1).share == pytest.approx(0.65)


def test_what_is_refused_is_kept_whole_in_the_ledger(desk):
    desk.send(intent(side="SHORT"))
    kept = desk.ledger.told("one")
    assert original_fields(kept)[b"side"] == b"SHORT"
    assert kept["reason"].startswith("side:")


def test_a_disk_that_takes_no_more_is_one_line(desk):
    desk.bus.publish(HARVEST_INTENT, [fields_of(intent())])
    desk.ledger.close()
    with pytest.raises(OSError, match=r"paper\.db: .*make room"):
        desk.executor.carry_out(wait_s=0.0)
