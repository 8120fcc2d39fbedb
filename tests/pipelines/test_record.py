"""The recorder as a command: killed, told to end, started twice, without its bus."""

import inspect
import json
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager

import pytest

from live.events import TRADE_CLOSED
from live.recorder import Recording
from live.redis_bus import RedisBus
from live.sqlite_bus import SqliteBus
from live.trade_log import TradeLog, read_trades
from pipelines.alerts import OPTIONS as ALERTS
from pipelines.command import ConfigError
from pipelines.events_bus import BUSES
from pipelines.record import record
from pipelines.record_settings import record_settings
from tests.live.receiver import SECRET, receiving
from tests.live.trades import fields
from tests.pipelines.conftest import CONF, composed, environment, lines_shown
from tests.servers import free_port, redis_server

RECORD = (sys.executable, "-m", "pipelines.record")


@pytest.fixture(scope="module")
def redis_of_module():
    with redis_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def bus_keys(request, tmp_path):
    prefix = f"test:{secrets.token_hex(4)}:"
    if request.param == "sqlite":
        place = f"events_bus.path={tmp_path}/events.db"
    else:
        place = f"events_bus.url={request.getfixturevalue('redis_of_module').url}"
    return [f"events_bus={request.param}", place, f"events_bus.prefix={prefix}"]


@pytest.fixture
def bus(bus_keys):
    kind, place, prefix = (one.partition("=")[2] for one in bus_keys)
    made = (
        SqliteBus(path=place, prefix=prefix)
        if kind == "sqlite"
        else RedisBus(url=place, prefix=prefix)
    )
    with closing(made):
        yield made


@contextmanager
def recorder(folder, *keys):
    """A recorder at work in a process of its own; it is dead at the end."""
    arguments = [*RECORD, "record.wait_s=0.05", *keys]
    with subprocess.Popen(
        arguments,
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def ended(tmp_path, capsys, monkeypatch):
    """Record what is there, in this process; return exit code, what was printed and what said."""

    def run(*keys):
        monkeypatch.chdir(tmp_path)
        with lines_shown():
            code = record(composed("follow=false", *keys, config_name="record"))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def drained(ended):
    """The same, with the document that was printed."""

    def run(*keys):
        code, printed, said = ended("format=json", *keys)
        return code, json.loads(printed), said

    return run


def local_bus(folder):
    """The bus of a command that is told of no other."""
    return SqliteBus(path=str(folder / "runs/live/events.db"), prefix="quantum:stream:")


def recorded(folder, n, process):
    """Wait until so many trades are on disk."""
    until = time.monotonic() + 60
    while (found := read_trades(folder / "runs/live").height) < n:
        assert time.monotonic() < until
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    return found


def test_a_recorder_killed_at_work_and_started_again_holds_every_trade_exactly_once(
    tmp_path, bus, bus_keys, drained
):
    sent, few = 160, ("record.most=7", "record.rotate_mb=0.01")
    with recorder(tmp_path, *bus_keys, *few) as process:
        for begin in range(0, sent, 20):
            bus.publish(TRADE_CLOSED, [fields(begin + number) for number in range(20)])
        recorded(tmp_path, random.Random(5).randrange(40, 120), process)  # noqa: S311
    code, _, said = drained(*bus_keys, *few)
    assert (code, said.count("Traceback")) == (0, 0)
    paths = (tmp_path / "runs/live").glob("clm_trades*.jsonl")
    lines = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
    assert Counter(line["order_id"] for line in lines) == {f"o{one}": 1 for one in range(sent)}
    assert bus.state(TRADE_CLOSED).groups["recorder"].pending == 0


def test_interrupted_it_ends_cleanly_with_its_table(tmp_path, heeds_interrupts):
    with closing(local_bus(tmp_path)) as bus:
        bus.publish(TRADE_CLOSED, [fields(1), fields(1), fields(2)])
    with recorder(tmp_path) as process:
        recorded(tmp_path, 2, process)
        process.send_signal(signal.SIGINT)
        said, wrong = process.communicate(timeout=60)
    assert (process.returncode, wrong) == (0, "")
    assert "recorded 2" in " ".join(said.split())
    assert "duplicates absorbed 1" in " ".join(said.split())


def test_what_is_refused_is_shown_by_reason_and_in_the_exit_code(tmp_path, ended, drained):
    bus = local_bus(tmp_path)
    bus.publish(TRADE_CLOSED, [fields(1), fields(2, entry_price=None), fields(3, zone="x")])
    code, printed, _ = ended()
    assert code == 3
    shown = " ".join(printed.split())
    for line in ("recorded 2", "refused: entry_price: missing 1", "'zone' (1)", "1 refused events"):
        assert line in shown
    bus.publish(TRADE_CLOSED, [fields(4, confidence="2")])
    code, document, said = drained()
    bus.close()
    assert "refused: confidence" in said
    assert (code, document["refused"]) == (1, {"confidence: must be in [0, 1]": 1})
    assert (document["trades_in_files"], document["rejected_in_files"]) == (2, 2)


def test_refused_trades_and_a_bus_that_is_away_are_told_of(tmp_path, drained):
    with closing(local_bus(tmp_path)) as bus, receiving() as receiver:
        bus.publish(TRADE_CLOSED, [fields(1, entry_price=None), fields(2)])
        keys = ("alerts=webhook", f"alerts.url={receiver.url}")
        drained(*keys)
        assert receiver.texts() == [
            "[trades_refused] closed trades refused: 1 by entry_price: missing"
        ]
        away = ("events_bus=redis", f"events_bus.url=redis://127.0.0.1:{free_port()}/0")
        _, document, said = drained(*keys, *away, "patience_s=0.2")
        assert receiver.texts() == [f"[bus_down] the recorder: {document['failure']}"]
        assert SECRET not in said


def test_a_bus_file_that_was_not_there_is_named_once(tmp_path, ended, drained):
    keys = ("events_bus=sqlite", f"events_bus.path={tmp_path}/nope/x.db")
    code, printed, _ = ended(*keys)
    assert code == 0
    assert f"{tmp_path}/nope/x.db was not there and was made new" in printed
    _, document, _ = drained(*keys)
    assert document["made_bus"] is None
    _, document, _ = drained("events_bus=sqlite", f"events_bus.path={tmp_path}/nope/y.db")
    assert document["made_bus"] == f"{tmp_path}/nope/y.db"


def test_a_second_recorder_of_a_folder_is_refused_in_one_line(tmp_path, drained):
    at_work = closing(TradeLog(tmp_path / "runs/live", rotate_bytes=10**9))
    with at_work, pytest.raises(ConfigError) as error:
        drained()
    assert str(error.value) == (
        "record.folder: another recorder is at work in runs/live; end it, or give another folder"
    )
    assert drained()[0] == 0


def test_a_folder_that_is_none_is_refused_by_its_key(tmp_path, drained):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match=r"record\.folder: cannot be written to: taken"):
        drained("record.folder=taken")


def test_a_bus_that_stays_away_ends_it_with_one_line(drained):
    keys = ("events_bus=redis", f"events_bus.url=redis://127.0.0.1:{free_port()}/0")
    code, document, said = drained(*keys, "patience_s=0.2")
    assert (code, document["outages"]) == (1, 1)
    assert said.splitlines() == [
        f"{document['failure']}; the recorder waits for it",
        f"stopped: {document['failure']}",
    ]


def test_a_disk_that_is_full_ends_it_with_one_line_and_loses_nothing(tmp_path, drained):
    with redis_server() as server:
        keys = ("events_bus=redis", f"events_bus.url={server.url}", "record.most=10")
        with closing(RedisBus(url=server.url, prefix="quantum:stream:")) as bus:
            bus.publish(TRADE_CLOSED, [fields(number) for number in range(60)])
            limited = subprocess.run(
                ["bash", "-c", 'ulimit -f 16; exec "$0" "$@"', *RECORD, "follow=false", *keys],
                cwd=tmp_path,
                env=environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert limited.returncode == 1
            assert limited.stderr == "stopped: runs/live/clm_trades.jsonl: File too large\n"
            code, document, _ = drained(*keys)
            assert bus.state(TRADE_CLOSED).groups["recorder"].pending == 0
    assert (code, document["trades_in_files"]) == (0, 60)
    assert read_trades(tmp_path / "runs/live")["order_id"].n_unique() == 60


def test_redis_killed_under_it_is_waited_for_and_told_to_end_it_ends_cleanly(tmp_path):
    with redis_server() as server:
        keys = ("events_bus=redis", f"events_bus.url={server.url}")
        with (
            closing(RedisBus(url=server.url, prefix="quantum:stream:")) as bus,
            recorder(tmp_path, *keys) as process,
        ):
            assert "recording into runs/live" in process.stdout.readline()
            bus.publish(TRADE_CLOSED, [fields(number) for number in range(10)])
            recorded(tmp_path, 10, process)
            server.kill()
            time.sleep(0.3)
            server.start()
            bus.publish(TRADE_CLOSED, [fields(number) for number in range(5, 20)])
            recorded(tmp_path, 20, process)
            process.send_signal(signal.SIGTERM)
            said, wrong = process.communicate(timeout=60)
    assert (process.returncode, wrong) == (0, "")
    assert "times the bus was down 1" in " ".join(said.split())


@pytest.mark.parametrize(
    ("group", "option"),
    [
        (group, path.stem)
        for group in ("alerts", "events_bus")
        for path in sorted(CONF.glob(f"{group}/*.yaml"))
    ],
)
def test_every_option_of_its_groups_builds_of_its_constructors_arguments(
    monkeypatch, group, option
):
    monkeypatch.setenv("ASSAY_ALERT_URL", "https://example.invalid/x")
    conf = composed(f"{group}={option}", config_name="record")
    made = getattr(record_settings(conf), {"alerts": "alerts", "events_bus": "bus"}[group])
    made.close()
    named = set(
        inspect.signature({"alerts": ALERTS, "events_bus": BUSES}[group][option]).parameters
    )
    assert set(conf[group]) - {"kind"} == named - {"clock", "args", "kwargs"}


def test_its_own_section_is_its_constructors_arguments_with_their_defaults():
    section = composed(config_name="record")["record"]
    assert Recording(**section) == Recording()
    assert set(section) == set(inspect.signature(Recording).parameters)


def body(conf):
    record_settings(conf)
    return 0


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("record.foldr=x", "record.foldr: unknown key, did you mean record.folder?"),
        ("record.most=0", "record.most must be at least 1, was 0"),
        ("record.most=1.5", "record.most must be a whole number, was 1.5"),
        ("patience_s=-1.0", "patience_s must be at least 0, or null, was -1.0"),
        ("events_bus=kafka", "events_bus=kafka: no such option; there are: redis, sqlite"),
        ("alerts=webhok", "alerts=webhok: no such option, did you mean webhook?"),
        (
            "alerts=webhook",
            "alerts.url is missing: set the environment variable ASSAY_ALERT_URL",
        ),
    ],
)
def test_a_mistake_is_one_line_with_the_nearest_name(refusal, monkeypatch, argument, said):
    monkeypatch.delenv("ASSAY_ALERT_URL", raising=False)
    assert refusal(argument, name="record", body=body) == said
