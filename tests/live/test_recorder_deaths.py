"""Recorders that die: each trade is recorded once, whatever is killed when."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from live.alerts import NoAlerts
from live.recorder import Recorder, Recording
from live.rejected import RejectedLog
from live.sqlite_bus import SqliteBus
from live.trade_log import FILE, TradeLog
from tests.live.recorders import (
    Dying,
    Killed,
    order_ids,
    pending,
    publish,
    record,
    rejected_in,
    rejected_on,
)
from tests.live.trades import fields
from tests.servers import until

EVENTS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from([{}, {}, {"entry_price": "0"}])), max_size=14
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS, st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.integers(0, 60))))
def test_killed_anywhere_and_restarted_it_records_each_trade_once(tmp_path_factory, events, kills):
    folder = tmp_path_factory.mktemp("killed")
    with closing(SqliteBus(path=str(folder / "events.db"), prefix="", timeout_s=5.0)) as bus:
        for number, changed in events:
            publish(bus, fields(number, **changed))
        for at, after, torn in kills:
            with suppress(Killed):
                record(Dying(bus, at, after=after), folder)
            # A kill may leave half a line that nobody was told of.
            if (folder / FILE).exists():
                with (folder / FILE).open("ab") as file:
                    file.write(b'{"order_id": "o7", "entry_price": 1.0, "exit_price": 2.5 '[:torn])
        record(bus, folder)
        good = list(dict.fromkeys(f"o{number}" for number, changed in events if not changed))
        bad = sum(bool(changed) for _, changed in events)
        lines = b"".join(path.read_bytes() for path in sorted(folder.glob("clm_trades*.jsonl")))
        assert Counter(json.loads(line)["order_id"] for line in lines.splitlines()) == Counter(good)
        assert sorted(order_ids(folder)) == sorted(good)
        assert len(rejected_in(folder)) == bad
        assert {one["original_id"] for one in rejected_on(bus)} == {
            one["original_id"] for one in rejected_in(folder)
        }
        assert not events or pending(bus) == 0


DIES_BEFORE_IT_ACKNOWLEDGES = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from live.redis_bus import RedisBus
from live.sqlite_bus import SqliteBus
from tests.live.recorders import record

class Dying({bus}):
    left = {acknowledged}
    def acknowledge(self, *given):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        super().acknowledge(*given)

record(Dying(**{conf!r}), Path({folder!r}))
"""


@pytest.mark.parametrize("acknowledged", [0, 1])
def test_a_process_killed_between_its_write_and_its_acknowledgement_records_nothing_twice(
    bus, bus_conf, tmp_path, acknowledged
):
    publish(bus, *(fields(number) for number in range(3)), fields(3, side="up"))
    conf = {"timeout_s": 5.0} | bus_conf
    program = DIES_BEFORE_IT_ACKNOWLEDGES.format(
        bus={"sqlite": "SqliteBus", "redis": "RedisBus"}[conf.pop("kind")],
        repository=str(Path(__file__).parents[2]),
        acknowledged=acknowledged,
        conf=conf,
        folder=str(tmp_path),
    )
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -signal.SIGKILL
    written = (tmp_path / FILE).read_bytes()
    assert order_ids(tmp_path) == ["o0", "o1", "o2"]
    # First the trades are acknowledged, then what was refused.
    assert (pending(bus), len(rejected_in(tmp_path))) == ((1, 1) if acknowledged else (4, 0))
    tally = record(bus, tmp_path)
    assert (tally.recorded, tally.absorbed) == (0, 0 if acknowledged else 3)
    assert tally.refused_again == acknowledged
    assert (tmp_path / FILE).read_bytes() == written
    assert (pending(bus), len(rejected_in(tmp_path)), len(rejected_on(bus))) == (0, 1, 1)


def test_a_recorder_of_another_folder_may_hold_a_trade_that_a_killed_one_wrote(bus, tmp_path):
    publish(bus, fields(1))
    acknowledging = 3  # After it has taken back, reclaimed and taken.
    with suppress(Killed):
        record(Dying(bus, acknowledging + 1), tmp_path / "a")
    time.sleep(0.06)
    record(bus, tmp_path / "b", reclaim_after_s=0.05)
    assert order_ids(tmp_path / "a") == order_ids(tmp_path / "b") == ["o1"]


def test_an_events_file_deleted_under_a_recorder_is_told_of_and_it_goes_on(tmp_path, caplog):
    path, stop = tmp_path / "events.db", threading.Event()

    def another():
        return closing(SqliteBus(path=str(path), prefix=""))

    with (
        another() as bus,
        closing(TradeLog(tmp_path, rotate_bytes=10**9)) as log,
        closing(RejectedLog(tmp_path, rotate_bytes=10**9)) as kept,
    ):
        rules = Recording(folder=str(tmp_path), wait_s=0.05)
        recorder = Recorder(bus, log, kept, NoAlerts(), rules, patience_s=5.0)
        following = threading.Thread(target=lambda: recorder.run(stop, follow=True))
        following.start()
        try:
            for number in (1, 2):
                with another() as publisher:
                    publish(publisher, fields(number))
                until(lambda n=number: recorder.tally.recorded == n, "the recorder")
                path.unlink()
        finally:
            stop.set()
            following.join(10.0)
    assert "while in use" in caplog.text
