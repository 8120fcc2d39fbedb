"""Closed trades through a bus whose server, publisher and recorder are killed again and again.

    python -m benchmarks.event_chaos --seeds 1 2 3

A publisher process closes trades and tells of them through an outbox; `pipelines.record` records
them; both are killed (SIGKILL) and started again, and with Redis so is the server. Streams are
trimmed to nothing all the while, by the recorder and from outside. In the end every trade must be
in the file once, with the values it was closed with.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.event_publisher import ALLOWED, trade
from benchmarks.event_sights import GROUP, Sights, patiently
from benchmarks.redis_alone import RedisAlone
from live.bus import BusDownError, EventBus
from live.events import TRADE_CLOSED
from pipelines.events_bus import events_bus
from selection.atomic import write_bytes_atomically, write_json_atomically

OUTPUT = Path("runs/bench/event_chaos.json")
BACKINGS = ("redis", "sqlite")
# One kill in so many comes while its process starts; the others soon after it has done something.
EARLY = 5
EARLY_S = {"server": 0.05, "process": 1.5}
BUSY_S, LONGEST_S, END_S = 0.05, 5.0, 120.0
TRIM_EVERY_S = 0.05

Backing = Literal["redis", "sqlite"]


@dataclass(slots=True)
class Outcome:
    """What came of one run.

    Attributes
    ----------
    recorded, lost, duplicates, differing : int
        Trades in the file; of those that were closed: not in it, in it more than once, in it with
        another value.
    published, absorbed : int
        Events that the stream ever had; those beyond one for each trade.
    phases : dict
        Kills by what was killed, and what it was at.
    trimmed : int
        Events removed from outside while others published and recorded.
    """

    backing: str
    seed: int
    n_trades: int
    recorded: int = 0
    lost: int = 0
    duplicates: int = 0
    differing: int = 0
    published: int = 0
    absorbed: int = 0
    phases: dict[str, dict[str, int]] = field(default_factory=dict)
    trimmed: int = 0
    seconds: float = 0.0

    @property
    def is_right(self) -> bool:
        """Tell whether every trade is recorded once, as it was closed."""
        return (self.recorded, self.lost, self.duplicates, self.differing) == (
            *(self.n_trades, 0, 0, 0),
        )


class Plant:
    """The processes of one run, in a folder of their own.

    Parameters
    ----------
    folder : Path
    backing : {"redis", "sqlite"}
    seed, n_trades : int
        Of the trades.
    """

    def __init__(self, folder: Path, backing: Backing, *, seed: int, n_trades: int) -> None:
        self.folder, self.seed, self.n_trades = folder, seed, n_trades
        self.server = RedisAlone(folder / "server") if backing == "redis" else None
        place = {"url": self.server.url} if self.server else {"path": str(folder / "events.db")}
        self.conf = {"kind": backing, "prefix": "chaos:", **place}
        self.records = folder / "recorded"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start what is named: server, publisher or recorder."""
        if name == "server":
            assert self.server is not None  # noqa: S101 - only a backing with one has it killed
            self.server.begin()
            return
        command = self._publisher() if name == "publisher" else self._recorder()
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(  # noqa: S603 - this project's own commands
                [sys.executable, "-m", *command], stdout=log, stderr=log
            )

    def kill(self, name: str) -> None:
        """End it at once; raises RuntimeError if it has ended by itself."""
        if name == "server":
            assert self.server is not None  # noqa: S101 - as above
            self.server.kill()
            return
        process = self.processes[name]
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended by itself, {process.returncode}: {self.folder}")
        process.kill()
        process.wait()

    def allow(self, n_trades: int) -> None:
        """Let so many trades be closed by now."""
        write_bytes_atomically(self.folder / ALLOWED, str(n_trades).encode())

    def end(self) -> None:
        """Kill whatever still runs."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        if self.server is not None:
            self.server.kill()

    def _publisher(self) -> list[str]:
        given = (str(self.folder), json.dumps(self.conf), str(self.seed), str(self.n_trades))
        return ["benchmarks.event_publisher", *given]

    def _recorder(self) -> list[str]:
        keys = [f"events_bus.{key}={value}" for key, value in self.conf.items() if key != "kind"]
        return [
            *("pipelines.record", f"events_bus={self.conf['kind']}", *keys),
            *(f"record.folder={self.records}", "record.rotate_mb=0.5", "record.most=20"),
            *("record.keep=1", "record.trim_every_s=0.1", "record.wait_s=0.5"),
            *("record.reclaim_after_s=2.0", "patience_s=120.0", "format=json"),
        ]


def run(folder: Path, backing: Backing, *, seed: int, n_trades: int, n_kills: int) -> Outcome:
    """Publish and record all trades, with so many kills of each process; return what is recorded.

    Raises
    ------
    RuntimeError
        If a process ends by itself, or the work is not done two minutes after the last kill.
    """
    rng, began = np.random.default_rng(seed), time.monotonic()
    plant = Plant(folder, backing, seed=seed, n_trades=n_trades)
    names = ["publisher", "recorder", *(["server"] if plant.server else [])]
    outcome = Outcome(backing, seed, n_trades, phases={name: {} for name in names})
    kills = _planned(names, n_kills, rng)
    plant.allow(0)
    try:
        if plant.server is not None:
            plant.server.start()
        plant.start("publisher")
        plant.start("recorder")
        with closing(events_bus({"events_bus": plant.conf})) as bus, _trims(plant.conf, outcome):
            sights = Sights(folder, plant.records, plant.conf, bus)
            for number, (name, is_early) in enumerate(kills, start=1):
                plant.allow(n_trades * number // (len(kills) + 1))
                phase = _kill(plant, sights, name, is_early, rng)
                outcome.phases[name][phase] = outcome.phases[name].get(phase, 0) + 1
            plant.allow(n_trades)
            _await_the_end(plant, bus)
            outcome.published = sights.published()
        _end_recorder(plant)
    finally:
        plant.end()
    _judge(plant, outcome)
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def _planned(
    names: Sequence[str], n_kills: int, rng: np.random.Generator
) -> list[tuple[str, bool]]:
    """Return whom to kill in turn, and whether while it starts after the kill before."""
    left, plan = dict.fromkeys(names, n_kills), list[tuple[str, bool]]()
    while any(left.values()):
        name = str(rng.choice([name for name, n in left.items() if n]))
        plan.append((name, False))
        left[name] -= 1
        if left[name] and rng.integers(EARLY) == 0:
            plan.append((name, True))
            left[name] -= 1
    return plan


def _kill(plant: Plant, sights: Sights, name: str, is_early: bool, rng: np.random.Generator) -> str:
    """Wait for a moment, kill, and start again; return what it was at."""
    if is_early:
        time.sleep(rng.uniform(0.0, EARLY_S["server" if name == "server" else "process"]))
    else:
        _await_progress(sights, name)
        time.sleep(rng.uniform(0.0, BUSY_S))
    phase = "starting" if is_early else ""
    if name == "server" and not is_early:
        phase = sights.at_kill_of_server()
    plant.kill(name)
    phase = phase or sights.after_kill(name)
    plant.start(name)
    return phase


def _await_progress(sights: Sights, name: str) -> None:
    """Wait until what is named has done something; not for ever, as all may be done."""
    before, give_up = sights.progress(name), time.monotonic() + LONGEST_S
    while sights.progress(name) == before and time.monotonic() < give_up:
        time.sleep(0.005)


@contextmanager
def _trims(conf: dict[str, Any], outcome: Outcome) -> Iterator[None]:
    """Trim the stream to nothing, again and again, from a process that is neither of the two."""
    done = threading.Event()

    def trim() -> None:
        with closing(events_bus({"events_bus": conf})) as bus:
            while not done.wait(TRIM_EVERY_S):
                with suppress(BusDownError):
                    outcome.trimmed += bus.trim(TRADE_CLOSED, keep=0)

    trimming = threading.Thread(target=trim)
    trimming.start()
    try:
        yield
    finally:
        done.set()
        trimming.join()


def _await_the_end(plant: Plant, bus: EventBus) -> None:
    """Wait until all is published and acknowledged."""
    try:
        code = plant.processes["publisher"].wait(END_S)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the publisher does not end: {plant.folder}/publisher.log") from None
    if code:
        raise RuntimeError(f"the publisher failed, {code}: {plant.folder}/publisher.log")
    give_up = time.monotonic() + END_S
    while True:
        group = patiently(lambda: bus.state(TRADE_CLOSED)).groups.get(GROUP)
        if group is not None and group.pending == group.undelivered == 0:
            return
        if time.monotonic() > give_up:
            raise RuntimeError(f"events are left, {group}: {plant.folder}/recorder.log")
        time.sleep(0.05)


def _end_recorder(plant: Plant) -> None:
    recorder = plant.processes["recorder"]
    recorder.send_signal(signal.SIGTERM)
    if recorder.wait(END_S) != 0:
        raise RuntimeError(
            f"the recorder ended with {recorder.returncode}: {plant.folder}/recorder.log"
        )


def _judge(plant: Plant, outcome: Outcome) -> None:
    """Hold what is recorded against what was closed."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(plant.records.glob("clm_trades*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            one = json.loads(line)
            found.setdefault(one["order_id"], []).append(one)
    outcome.recorded = len(found)
    outcome.duplicates = sum(len(lines) - 1 for lines in found.values())
    for number in range(plant.n_trades):
        closed = json.loads(trade(plant.seed, number).model_dump_json())
        closed["timestamp"] = _moment(closed["timestamp"])
        lines = found.get(closed["order_id"], [])
        outcome.lost += not lines
        outcome.differing += any(
            {**one, "timestamp": _moment(one["timestamp"])} | closed
            != {**one, "timestamp": _moment(one["timestamp"])}
            for one in lines
        )
    outcome.absorbed = outcome.published - outcome.recorded


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).isoformat()


def _shown(outcomes: Sequence[Outcome]) -> Iterator[Table]:
    counted = Table("bus", "seed", "closed", "recorded", "lost", "twice", "differing", "absorbed")
    counted.add_column("seconds")
    shown = Table("killed", "at", *(f"{one.backing} {one.seed}" for one in outcomes))
    for one in outcomes:
        counts = (one.n_trades, one.recorded, one.lost, one.duplicates, one.differing)
        last = (f"{one.absorbed:,}", f"{one.seconds:.0f}")
        counted.add_row(one.backing, str(one.seed), *(f"{n:,}" for n in counts), *last)
    rows = {(name, at) for one in outcomes for name, phases in one.phases.items() for at in phases}
    for name, phase in sorted(rows):
        kills = [one.phases.get(name, {}).get(phase, 0) for one in outcomes]
        shown.add_row(name, phase, *map(str, kills))
    yield counted
    yield shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both backings with every seed; print and write what was counted; 1 if anything is off."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.event_chaos")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--trades", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20, help="of each process")
    parser.add_argument("--backings", nargs="+", choices=BACKINGS, default=list(BACKINGS))
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(arguments)
    outcomes = []
    for backing in given.backings:
        for seed in given.seeds:
            with tempfile.TemporaryDirectory(prefix="event-chaos-") as place:
                outcome = run(
                    Path(place), backing, seed=seed, n_trades=given.trades, n_kills=given.kills
                )
            outcomes.append(outcome)
            # A run cut off keeps what it has found.
            write_json_atomically(given.output, [asdict(one) for one in outcomes])
    for table in _shown(outcomes):
        Console().print(table)
    return 0 if all(one.is_right for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
