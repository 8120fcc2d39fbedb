"""The command that trades on paper: beside the backtest, killed, without its bus, and again."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from backtest.holdout import LEDGER
from exits.exit_model import save_exit_model
from live.events import TRADE_CLOSED, TradeClosed, decoded
from live.sqlite_bus import SqliteBus
from pipelines.command import ConfigError
from pipelines.paper import paper
from pipelines.paper_settings import paper_settings
from tests.exits.exit_models import model
from tests.live.service.served import served
from tests.pipelines.conftest import DEMO, composed, environment, lines_shown

TABLES = ("trades", "open_positions", "partials", "stop_moves", "decisions", "equity")


@pytest.fixture
def keys(tmp_path, manifest):
    """Where a paper account of this test lies, and the bus that it tells."""
    return (
        *DEMO,
        f"manifest={manifest}",
        f"output_dir={tmp_path}/account",
        f"events_bus.path={tmp_path}/events.db",
        "tracking=none",
    )


@pytest.fixture
def trades_on_paper(keys, capsys):
    def run(*overrides):
        with lines_shown():
            code = paper(composed(*keys, *overrides, config_name="paper"))
        return code, " ".join(capsys.readouterr().out.split())

    return run


def told(folder):
    """Return the closed trades on the bus, each as often as it is there."""
    bus = SqliteBus(path=f"{folder}/events.db", prefix="quantum:stream:", timeout_s=5.0)
    came = bus.take(TRADE_CLOSED, "test", "test", most=10_000, wait_s=0.0)
    bus.close()
    return [decoded(TradeClosed, one.fields) for one in came]


def same_tables(folder, other):
    for name in TABLES:
        one, two = (pl.read_parquet(place / f"{name}.parquet") for place in (folder, other))
        assert one.equals(two), name


def test_paper_trades_what_the_backtest_trades_and_tells_each_trade_once(
    trades_on_paper, replays, tmp_path, run
):
    code, said = trades_on_paper()
    replays("evaluator=points", out="backtest")
    assert code == 0
    same_tables(tmp_path / "account", tmp_path / "backtest")
    trades = pl.read_parquet(tmp_path / "account" / "trades.parquet")
    events = told(tmp_path)
    assert f"{len(trades):,} closed trades told" in said
    assert [one.R_net for one in events] == trades["r_multiple"].to_list()
    assert [one.entry_price for one in events] == trades["entry_price"].to_list()
    assert [one.timestamp for one in events] == trades["exit_time"].to_list()
    artifacts = run.manifest["selections"]["EURUSD"]["artifacts"]
    folder = artifacts[0]["path"].split("/")[2]
    assert {one.model_id for one in events if one.symbol == "EURUSD"} == {folder}


def test_the_same_command_again_tells_nothing_again(trades_on_paper, tmp_path):
    trades_on_paper()
    before, first = told(tmp_path), pl.read_parquet(tmp_path / "account" / "trades.parquet")
    _, said = trades_on_paper()
    assert before
    assert told(tmp_path) == []
    assert "0 closed trades told" in said
    assert pl.read_parquet(tmp_path / "account" / "trades.parquet").equals(first)


def test_killed_again_and_again_it_ends_as_if_it_had_not_been(keys, replays, tmp_path):
    command = [sys.executable, "-m", "pipelines.paper", *keys]
    database = tmp_path / "account" / "paper.db"
    n_killed = 0
    for pause_s in (0.0, 0.1, 0.25):
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        before = database.with_name("paper.db-wal")
        begun = before.stat().st_mtime_ns if before.exists() else 0
        while process.poll() is None:
            now = before.stat().st_mtime_ns if before.exists() else 0
            if now > begun:
                time.sleep(pause_s)
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        n_killed += process.wait() == -signal.SIGKILL
        process.communicate()
    assert n_killed > 0
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    replays("evaluator=points", out="backtest")
    same_tables(tmp_path / "account", tmp_path / "backtest")
    trades = pl.read_parquet(tmp_path / "account" / "trades.parquet")
    by_order = {one.order_id: one.R_net for one in told(tmp_path)}
    assert list(by_order.values()) == trades["r_multiple"].to_list()


def test_later_bars_are_traded_by_the_account_as_it_stood(trades_on_paper, replays, tmp_path):
    trades_on_paper("replay.end=2010-06-20")
    early = pl.read_parquet(tmp_path / "account" / "trades.parquet")
    trades_on_paper()
    replays("evaluator=points", out="backtest")
    same_tables(tmp_path / "account", tmp_path / "backtest")
    assert 0 < len(early) < len(pl.read_parquet(tmp_path / "account" / "trades.parquet"))


def test_a_bus_that_stays_down_ends_it_in_one_line_and_keeps_the_account(keys, capsys, tmp_path):
    gone = ("events_bus=redis", "events_bus.url=redis://127.0.0.1:1/0", "patience_s=0")
    kept = [key for key in keys if not key.startswith("events_bus.")]
    with lines_shown():
        code = paper(composed(*kept, *gone, config_name="paper"))
    assert code == 1
    assert "the same command goes on" in capsys.readouterr().out.replace("\n", " ")
    assert (tmp_path / "account" / "paper.db").exists()


def test_an_account_goes_on_by_the_terms_it_was_begun_with(trades_on_paper):
    trades_on_paper("replay.end=2010-06-20")
    with pytest.raises(ConfigError, match=r"costs.spread_atr: .* with 0.08, now it would be 0.5"):
        trades_on_paper("costs.spread_atr=0.5")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("++patience=3", "patience: unknown key, did you mean patience_s?"),
        ("patience_s=-1.0", "patience_s must be at least 0, was -1.0"),
        ("exit_service=http://127.0.0.1:9/v1/exits", "exit_service goes with exits=learned"),
    ],
)
def test_a_wrong_key_is_one_line_with_the_right_one(keys, override, said):
    with pytest.raises(ConfigError) as refused:
        paper_settings(composed(*keys, override, config_name="paper"))
    assert said in str(refused.value)


def test_experiences_of_paper_trades_can_be_learnt_from(trades_on_paper, tmp_path):
    trades_on_paper()
    records = json.loads((tmp_path / "account" / "experiences.json").read_text())
    assert len(records) == len(pl.read_parquet(tmp_path / "account" / "trades.parquet"))
    assert all(one["simulated"] for one in records)


def test_exits_of_the_service_are_those_of_the_local_net_and_go_on_without_it(
    keys, trades_on_paper, manifest, tmp_path
):
    folder = tmp_path / "exits"
    save_exit_model(folder, model(trained_until=np.datetime64("2010-03-01", "us")))
    learned = ("exits=learned", f"exits.model={folder}", "entries.model=events")
    trades_on_paper(*learned, f"output_dir={tmp_path}/local")
    with served(manifest, f"exit_model={folder}") as server:
        asked = (*learned, f"exit_service={server.ready().url}/v1/exits")
        trades_on_paper(*asked, f"output_dir={tmp_path}/remote", "patience_s=5.0")
        server.end()
    trades_on_paper(*asked, f"output_dir={tmp_path}/gone")
    found = {
        name: pl.read_parquet(tmp_path / name / "trades.parquet")
        for name in ("local", "remote", "gone")
    }
    decided = {name: set(one["prediction_source"]) for name, one in found.items()}
    assert len(found["local"]) > 20
    assert decided["local"] == decided["gone"] == {"local_neural_network"}
    # On a busy machine an answer may come too late; the net beside it says the same.
    assert "remote_service" in decided["remote"]
    plain = [one.drop("prediction_source") for one in found.values()]
    assert plain[0].equals(plain[1])
    assert plain[0].equals(plain[2])


def test_a_refused_account_opens_no_holdout(trades_on_paper, manifest):
    trades_on_paper("replay.end=2010-06-20")
    with pytest.raises(ConfigError, match=r"costs.spread_atr"):
        trades_on_paper("costs.spread_atr=0.5", "replay.holdout=open")
    with pytest.raises(ConfigError, match=r"replay.start: .* with null, now it would be \"2010-05"):
        trades_on_paper("replay.start=2010-05-03", "replay.holdout=open")
    assert not (manifest.parent / LEDGER).exists()


def test_it_is_said_where_trading_ends_at_sealed_holdouts_and_how_to_go_on(trades_on_paper, run):
    _, said = trades_on_paper()
    windows = [one["windows"]["holdout"] for one in run.manifest["selections"].values()]
    assert f"bars from {min(one['start'] for one in windows)[:10]} on are not traded" in said
    assert "replay.start=" in said
    assert "account paper-" in said
    assert "holdouts are sealed" not in trades_on_paper("replay.holdout=open")[1]


def test_a_symbol_that_is_left_out_is_kept_and_seen_no_further_than_the_rest(
    trades_on_paper, tmp_path
):
    both, one = "symbols=[EURUSD,GBPUSD]", "symbols=[EURUSD]"
    trades_on_paper(both, "replay.end=2010-06-20")
    code, said = trades_on_paper(one, "replay.end=2010-06-25")
    equity = pl.read_parquet(tmp_path / "account" / "equity.parquet")
    assert code == 0
    assert "GBPUSD" in said
    assert f"{equity['time'][-1]:%Y-%m-%d}" <= "2010-06-25"
    assert trades_on_paper(both)[0] == 0


def test_accounts_in_two_folders_are_two_and_their_trades_are_their_own(trades_on_paper, tmp_path):
    for name in ("one", "two"):
        trades_on_paper(f"output_dir={tmp_path}/{name}", "replay.end=2010-06-20")
    orders = [one.order_id for one in told(tmp_path)]
    n_trades = len(pl.read_parquet(tmp_path / "one" / "trades.parquet"))
    assert len(set(orders)) == len(orders) == 2 * n_trades > 0
