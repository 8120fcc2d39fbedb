"""From a bus to the disk: each trade once, what is refused kept, whatever fails in between."""

import base64
import json
import threading
import time
from collections import Counter
from contextlib import closing

import pytest

from live.alerts import NoAlerts
from live.bus import BusDownError
from live.events import TRADE_CLOSED
from live.recorder import Recorder, Recording, consumer_name
from live.rejected import RejectedLog, original_fields
from live.trade_log import FILE, TradeLog, read_trades
from tests.live.recorders import (
    Dying,
    order_ids,
    pending,
    publish,
    record,
    rejected_in,
    rejected_on,
)
from tests.live.trades import fields, in_bytes


class Heard:
    """Alerts that were sent."""

    def __init__(self):
        self.kinds = Counter()
        self.texts = []

    def send(self, alert):
        self.kinds[alert.kind] += 1
        self.texts.append(alert.text)

    def close(self):
        pass


def test_trades_are_recorded_once_in_order_and_acknowledged(bus, tmp_path):
    publish(bus, *(fields(number) for number in range(10)), fields(3), fields(9))
    tally = record(bus, tmp_path)
    assert (tally.recorded, tally.absorbed) == (10, 2)
    assert order_ids(tmp_path) == [f"o{number}" for number in range(10)]
    assert pending(bus) == 0
    again = record(bus, tmp_path)
    assert (again.recorded, again.absorbed) == (0, 0)


def test_bytes_off_a_redis_stream_are_recorded_with_their_own_entry_price(redis_of_all, tmp_path):
    """What the other producer sends, and what was recorded of it as 0.0."""
    from redis import Redis

    from live.redis_bus import RedisBus

    with closing(Redis.from_url(redis_of_all.url)) as server:
        right = fields(1, entry_price="64250.5", symbol="BTCUSDT")
        server.xadd("bytes:trade.closed", in_bytes(right))
        read = server.xrange("bytes:trade.closed")[0][1]
        server.xadd("bytes:trade.closed", in_bytes(fields(2, entry_price=None)))
    # The failure itself: every name is in bytes, and a default looks like a price.
    assert read.get("entry_price", 0.0) == 0.0
    with closing(RedisBus(url=redis_of_all.url, prefix="bytes:")) as bus:
        tally = record(bus, tmp_path)
        assert [one["reason"] for one in rejected_on(bus)] == ["entry_price: missing"]
    assert read_trades(tmp_path)["entry_price"].to_list() == [64250.5]
    assert tally.refused == {"entry_price: missing": 1}


def test_a_refused_event_is_kept_whole_and_blocks_no_other(bus, tmp_path):
    bad = fields(2, entry_price="0.0", note="kept as well")
    ids = publish(bus, fields(1), bad, fields(3))
    tally = record(bus, tmp_path)
    assert order_ids(tmp_path) == ["o1", "o3"]
    assert tally.refused == {"entry_price: must be above 0": 1}
    (there,), (here,) = rejected_on(bus), rejected_in(tmp_path)
    assert there == here
    assert (there["original_stream"], there["original_id"]) == (TRADE_CLOSED, ids[1])
    assert there["reason"] == "entry_price: must be above 0, was '0.0'"
    assert original_fields(there) == in_bytes(bad)
    assert pending(bus) == 0


def test_bytes_that_are_no_text_are_kept_as_base64(redis_of_all, tmp_path):
    from redis import Redis

    from live.redis_bus import RedisBus

    odd = in_bytes(fields(1)) | {b"symbol": b"\xff\x00", b"\xfe": b"x"}
    with closing(Redis.from_url(redis_of_all.url)) as server:
        server.xadd("odd:trade.closed", odd)
    with closing(RedisBus(url=redis_of_all.url, prefix="odd:")) as bus:
        record(bus, tmp_path)
        (found,) = rejected_on(bus)
    assert original_fields(found) == odd
    assert ["symbol", {"base64": base64.b64encode(b"\xff\x00").decode()}] in json.loads(
        found["fields"]
    )


def test_an_event_too_large_to_be_one_is_kept_whole_all_the_same(bus, tmp_path):
    large = fields(1, note="x" * 70_000)
    publish(bus, large, fields(2))
    assert record(bus, tmp_path).recorded == 1
    assert original_fields(rejected_on(bus)[0]) == in_bytes(large)


def test_the_first_of_two_contradicting_trades_stays(bus, tmp_path):
    publish(bus, fields(1), fields(1, entry_price="2.5"))
    record(bus, tmp_path)
    publish(bus, fields(1, exit_price="9.5", quantity="3"))
    tally = record(bus, tmp_path)
    assert [one["reason"] for one in rejected_in(tmp_path)] == [
        "order_id: o1 was recorded with another entry_price; the first one stays",
        "order_id: o1 was recorded with another exit_price, quantity; the first one stays",
    ]
    assert tally.refused == {"order_id: recorded with another exit_price": 1}
    assert read_trades(tmp_path)["entry_price"].to_list() == [float(fields(1)["entry_price"])]


def test_fields_of_newer_producers_are_kept_and_counted(bus, tmp_path):
    publish(bus, fields(1, venue="X"), fields(2, venue="Y"))
    assert record(bus, tmp_path).unknown == {"venue": 2}
    lines = (tmp_path / FILE).read_text().splitlines()
    assert [json.loads(line)["unknown"] for line in lines] == [{"venue": "X"}, {"venue": "Y"}]


@pytest.mark.parametrize("at", range(1, 9))
def test_a_bus_that_goes_down_anywhere_is_waited_for_and_told_of_once(bus, tmp_path, at, caplog):
    publish(bus, *(fields(number) for number in range(6)), fields(7, side="up"))
    heard = Heard()
    failing = Dying(bus, at, failure=BusDownError("the bus is down; start it"))
    tally = record(failing, tmp_path, alerts=heard)
    assert order_ids(tmp_path) == [f"o{number}" for number in range(6)]
    assert len(rejected_in(tmp_path)) == 1
    assert (tally.outages, heard.kinds["bus_down"]) == (1, 1)
    assert caplog.text.count("the bus is down") == 1
    assert pending(bus) == 0


def test_patience_ends_with_the_reason(tmp_path):
    class Down:
        def __getattr__(self, name):
            def call(*_arguments, **_named):
                raise BusDownError("bus X: connection refused; start it")

            return call

    heard, begun_s = Heard(), time.monotonic()
    with pytest.raises(BusDownError, match="bus X: connection refused"):
        record(Down(), tmp_path, patience_s=0.3, alerts=heard)
    assert time.monotonic() - begun_s >= 0.3
    assert heard.texts == ["the recorder: bus X: connection refused; start it"]


def test_what_a_dead_recorder_left_pending_is_taken_over(bus, tmp_path):
    publish(bus, fields(1), fields(2))
    assert len(bus.take(TRADE_CLOSED, "recorder", "dead", most=10, wait_s=0.0)) == 2
    assert record(bus, tmp_path).recorded == 0
    time.sleep(0.06)
    assert record(bus, tmp_path, reclaim_after_s=0.05).recorded == 2
    assert pending(bus) == 0


def test_its_own_pending_events_are_taken_back_at_once(bus, tmp_path):
    publish(bus, *(fields(number) for number in range(9)))
    bus.take(TRADE_CLOSED, "recorder", consumer_name(tmp_path), most=9, wait_s=0.0)
    assert record(bus, tmp_path).recorded == 9


def test_refusals_are_one_alert_for_a_batch(bus, tmp_path):
    publish(bus, fields(1, side=None), fields(2, side=None), fields(3, confidence="7"))
    heard = Heard()
    record(bus, tmp_path, alerts=heard)
    assert heard.texts == [
        "closed trades refused: 2 by side: missing, 1 by confidence: must be in [0, 1]"
    ]


def test_streams_are_trimmed_below_what_is_pending_in_another_group(bus, tmp_path):
    publish(bus, *(fields(number) for number in range(40)))
    bus.take(TRADE_CLOSED, "other", "slow", most=30, wait_s=0.0)
    record(bus, tmp_path, keep=5, trim_every_s=1e-9)
    assert bus.state(TRADE_CLOSED).length == 40
    bus.acknowledge(
        TRADE_CLOSED,
        "other",
        [one.id for one in bus.reclaim(TRADE_CLOSED, "other", "slow", idle_s=0.0, most=30)],
    )
    bus.take(TRADE_CLOSED, "other", "slow", most=30, wait_s=0.0)
    assert record(bus, tmp_path, keep=5, trim_every_s=1e-9).trimmed > 0
    assert order_ids(tmp_path) == [f"o{number}" for number in range(40)]


def test_a_follower_ends_when_it_is_told_to(bus, tmp_path):
    stop = threading.Event()
    with (
        closing(TradeLog(tmp_path, rotate_bytes=10**9)) as log,
        closing(RejectedLog(tmp_path, rotate_bytes=10**9)) as kept,
    ):
        rules = Recording(folder=str(tmp_path), wait_s=0.05)
        recorder = Recorder(bus, log, kept, NoAlerts(), rules, patience_s=5.0)
        following = threading.Thread(target=lambda: recorder.run(stop, follow=True))
        following.start()
        publish(bus, fields(1))
        while recorder.tally.recorded < 1:
            time.sleep(0.01)
        stop.set()
        following.join(10.0)
    assert not following.is_alive()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"most": 0}, "most must be at least 1, was 0"),
        ({"rotate_mb": 0.0}, "rotate_mb must be above 0, was 0.0"),
        ({"group": " "}, "group must not be empty"),
        ({"wait_s": float("nan")}, "wait_s must be above 0, was nan"),
    ],
)
def test_rules_that_make_no_sense_are_refused_by_name(changed, said):
    with pytest.raises(ValueError, match=said):
        Recording(**changed)
