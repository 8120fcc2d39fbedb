"""Events a second through each bus, beside plain lines that are seen to reach the same disk.

    python -m benchmarks.event_speed

An event is a closed trade. It is published alone and by the hundred, and taken and acknowledged
alone and by the hundred; the plain way appends a line, or a hundred, to a file and calls fsync. All
take turns in one process, a few rounds each. Also shown: CPU seconds that a consumer spends on a
minute of waiting.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.event_publisher import trade
from benchmarks.redis_alone import RedisAlone
from live.bus import EventBus
from live.events import TRADE_CLOSED, fields_of
from live.redis_bus import RedisBus
from live.sqlite_bus import SqliteBus
from selection.atomic import write_json_atomically

OUTPUT = Path("runs/bench/event_speed.json")
SIZES, ROUNDS, EVENTS, WAIT_S = (1, 100), 5, 1_000, 5.0

Events = list[dict[str, str]]


def plain(path: Path, events: Events, size: int) -> float:
    """Return events a second, written as lines and seen to reach the disk."""
    lines = [f"{event}\n".encode() for event in events]
    began = time.perf_counter()
    with path.open("ab", buffering=0) as file:
        for begin in range(0, len(lines), size):
            file.write(b"".join(lines[begin : begin + size]))
            os.fsync(file.fileno())
    return len(events) / (time.perf_counter() - began)


def published(bus: EventBus, events: Events, size: int) -> float:
    """Return events a second, on disk when each call returns."""
    began = time.perf_counter()
    for begin in range(0, len(events), size):
        bus.publish(TRADE_CLOSED, events[begin : begin + size])
    return len(events) / (time.perf_counter() - began)


def consumed(bus: EventBus, n_events: int, size: int) -> float:
    """Return events a second, taken and acknowledged."""
    n_taken, began = 0, time.perf_counter()
    while n_taken < n_events:
        taken = bus.take(TRADE_CLOSED, "speed", "a", most=size, wait_s=1.0)
        bus.acknowledge(TRADE_CLOSED, "speed", [one.id for one in taken])
        n_taken += len(taken)
    return n_events / (time.perf_counter() - began)


def waiting(bus: EventBus, wait_s: float) -> float:
    """Return the CPU seconds of one minute of waiting, by this process alone."""
    began = time.process_time()
    bus.take("nothing.comes", "speed", "a", most=1, wait_s=wait_s)
    return 60.0 / wait_s * (time.process_time() - began)


def measured(folder: Path, *, n_events: int, rounds: int, wait_s: float) -> dict[str, Any]:
    """Return medians and extremes of each way, and its ratio to the plain one of the same size."""
    events = [fields_of(trade(7, number)) for number in range(n_events)]
    buses: dict[str, EventBus] = {
        "sqlite": SqliteBus(path=str(folder / "events.db"), prefix="speed:"),
    }
    server: RedisAlone | None = None
    with suppress(RuntimeError):
        server = RedisAlone(folder / "server")
        server.start()
        buses["redis"] = RedisBus(url=server.url, prefix="speed:")
    rates: dict[tuple[str, str, int], list[float]] = {}
    try:
        for _ in range(rounds):
            for size in SIZES:
                # One at a time takes longer: fewer of them.
                some = events if size > 1 else events[: n_events // 5]
                found = {("plain", "write"): plain(folder / "plain.jsonl", some, size)}
                for name, bus in buses.items():
                    found[name, "publish"] = published(bus, some, size)
                    found[name, "consume"] = consumed(bus, len(some), size)
                    bus.trim(TRADE_CLOSED, keep=0)
                for (name, what), rate in found.items():
                    rates.setdefault((name, what, size), []).append(rate)
        idle = {name: waiting(bus, wait_s) for name, bus in buses.items()}
    finally:
        for bus in buses.values():
            bus.close()
        if server is not None:
            server.kill()
    plain_rates = {size: statistics.median(rates["plain", "write", size]) for size in SIZES}
    return {
        "rounds": rounds,
        "events": n_events,
        "cpu_seconds_of_a_minute_waiting": idle,
        "ways": [
            {
                "bus": name,
                "what": what,
                "at_once": size,
                "events_per_second": statistics.median(each),
                "least": min(each),
                "most": max(each),
                "of_plain": statistics.median(each) / plain_rates[size],
            }
            for (name, what, size), each in rates.items()
        ],
    }


def _shown(record: dict[str, Any]) -> Table:
    table = Table("bus", "what", "at once", "events a second", "least to most", "of plain")
    for one in record["ways"]:
        table.add_row(
            *(one["bus"], one["what"], str(one["at_once"]), f"{one['events_per_second']:,.0f}"),
            f"{one['least']:,.0f} to {one['most']:,.0f}",
            f"{one['of_plain']:.2f}",
        )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.event_speed")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--wait", type=float, default=WAIT_S, help="seconds of waiting measured")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="event-speed-") as place:
        record = measured(
            Path(place), n_events=given.events, rounds=given.rounds, wait_s=given.wait
        )
    write_json_atomically(given.output, record)
    Console().print(_shown(record))
    for name, seconds in record["cpu_seconds_of_a_minute_waiting"].items():
        sys.stdout.write(f"{name}: {seconds:.2f} CPU seconds for a minute of waiting\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
