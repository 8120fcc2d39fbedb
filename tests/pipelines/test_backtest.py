"""The command from a manifest to files: what is traded, and what is written down before."""

import hashlib
import json
import shutil
from datetime import UTC, datetime

import polars as pl
import pytest

import pipelines.backtest_run
from backtest.entries import DEPLOYED, NOT_DEPLOYED
from backtest.holdout import LEDGER
from backtest.replayed import Replayed
from pipelines.backtest import with_new_keys
from pipelines.backtest_display import NOTHING_DEPLOYED
from pipelines.backtest_settings import backtest_settings
from pipelines.command import ConfigError
from pipelines.run_folder import held
from selection.holdout_ledger import HoldoutLedger
from selection.promotion import promote
from tests.pipelines.conftest import (
    DEMO,
    LENIENT,
    ONE_FOREST,
    REPLAY_FILES,
    TINY,
    composed,
    trained,
)


def ledger(manifest):
    return HoldoutLedger(manifest.parent / LEDGER).recorded()


def unselect(manifest, *symbols):
    document = json.loads(manifest.read_text())
    for symbol in symbols:
        one = document["selections"][symbol]
        for key in ("predictions", "artifacts"):
            del one[key]
        one |= {"selected_model": None, "reason": "No signal", "action": "REVIEW"}
    n_left = 2 - len(symbols)
    document["summary"] |= {"models_selected": n_left, "manual_review_needed": len(symbols)}
    manifest.write_text(json.dumps(document))


def test_the_deployed_models_are_traded_at_their_threshold_by_what_was_said_out_of_fold(
    replays, run, tmp_path
):
    code, summary, trades, said = replays()
    assert code == 0
    assert {path.name for path in (tmp_path / "out").glob("[!.]*")} == REPLAY_FILES
    assert len(trades) == summary["statistics"]["trades"]["n_trades"] > 10
    assert (trades["confidence"] >= 0.5).all()
    for symbol in ("EURUSD", "GBPUSD"):
        rows = pl.read_parquet(
            run.folder / "out" / "predictions" / f"{symbol}_RandomForest.parquet"
        )
        told = dict(zip(rows["timestamp"], rows["p_calibrated"], strict=True))
        own = trades.filter(
            pl.col("symbol") == symbol, pl.col("signal_time") < rows["label_end"].max()
        )
        assert [told[time] for time in own["signal_time"]] == own["confidence"].to_list()
        assert summary["symbols"][symbol]["out_of_fold"] == len(rows)
        assert summary["symbols"][symbol]["holdout"] is None
    assert "exit parameters by: defaults 100%" in said
    assert "Replay on a simulated market" in said


def test_the_same_command_twice_gives_the_same_bytes(replays, tmp_path):
    explored = ("exits.explore=0.2", "evaluator=points")
    replays(*explored)
    replays(*explored, out="again")
    for name in REPLAY_FILES - {"summary.json"}:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), (
            name
        )


def test_the_experiences_of_several_draws_are_counted_wherever_figures_stand(replays, tmp_path):
    varied = ("exits.explore=0.2", "exits.vary=0.5", "exits.draws=2")
    _, summary, trades, said = replays(*varied)
    records = json.loads((tmp_path / "out" / "experiences.json").read_text())
    assert len(records) > len(trades)
    assert summary["experiences"] == {"records": len(records), "replays": 2}
    assert summary["exploration"] | {"vary": 0.5, "draws": 2} == summary["exploration"]
    counted = f"{len(records):,} experiences of 2 replays"
    page = (tmp_path / "out" / "report.html").read_text()
    assert counted in page
    assert "exploration" in page.lower()
    assert f"{counted}: {tmp_path}/out/experiences.json" in said
    assert said.count(" bars, 2 times") == 1


def test_an_interrupt_while_files_are_written_leaves_none_of_an_earlier_replay(
    replays, tmp_path, monkeypatch
):
    replays()

    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipelines.backtest_run, "write_experiences", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replays()
    assert not [path for path in (tmp_path / "out").iterdir() if path.name != ".lock"]


def test_bars_that_only_warm_indicators_up_are_no_days_of_the_account(replays, run, tmp_path):
    _, summary, _, _ = replays()
    said = [
        pl.read_parquet(run.folder / "out" / "predictions" / f"{symbol}_RandomForest.parquet")
        for symbol in summary["symbols"]
    ]
    equity = pl.read_parquet(tmp_path / "out" / "equity.parquet")
    assert equity["time"][0] == min(rows["timestamp"][0] for rows in said)
    day = f"{equity['time'][700]:%Y-%m-%d}"
    replays(f"replay.start={day}")
    later = pl.read_parquet(tmp_path / "out" / "equity.parquet")["time"][0]
    assert f"{later:%Y-%m-%d %H:%M}" == f"{day} 00:00"


def test_by_default_no_holdout_is_touched(replays, manifest, run):
    _, summary, trades, _ = replays()
    assert not (manifest.parent / LEDGER).exists()
    for symbol, one in summary["symbols"].items():
        window = run.manifest["selections"][symbol]["windows"]["holdout"]
        assert one["last_bar"] < window["start"]
    assert trades["exit_time"].max().isoformat() < min(
        run.manifest["selections"][symbol]["windows"]["holdout"]["end"]
        for symbol in summary["symbols"]
    )


def test_a_holdout_that_is_opened_is_on_record_before_anything_is_replayed(
    replays, manifest, run, monkeypatch
):
    on_record = []

    def spy(markets, policy, **settings):
        on_record.extend(ledger(manifest))
        return Replayed.empty()

    monkeypatch.setattr(pipelines.backtest_run, "replay", spy)
    _, summary, _, said = replays("replay.holdout=open")
    assert [one.symbol for one in on_record] == ["EURUSD", "GBPUSD"]
    window = run.manifest["selections"]["EURUSD"]["windows"]["holdout"]
    assert on_record[0].start_utc.isoformat() == window["start"]
    assert on_record[0].end_utc.isoformat() == window["end"]
    assert on_record[0].model == "RandomForest"
    assert summary["symbols"]["EURUSD"]["holdout"]["in_words"] == "opened once"
    assert "EURUSD: its holdout was opened once" in said


def test_every_look_counts_and_another_configuration_is_another_one(replays, manifest):
    one = ("replay.holdout=open", "symbols=[EURUSD]")
    replays(*one)
    again = replays(*one)[1]["symbols"]["EURUSD"]["holdout"]
    assert (again["n_openings"], again["n_configurations"]) == (2, 1)
    other = replays(*one, "account.risk_per_trade=0.01")[1]["symbols"]["EURUSD"]["holdout"]
    assert (other["n_openings"], other["n_configurations"]) == (3, 2)
    assert other["in_words"].endswith("its figures are no longer unseen")
    assert len(ledger(manifest)) == 3


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A forest of EURUSD whose holdout training has opened: the manifest's path."""
    one = ("symbols=[EURUSD]", "~models.council", "deploy.holdout=open")
    return trained(tmp_path_factory.mktemp("opened"), *TINY, *LENIENT, *ONE_FOREST, *DEMO, *one)


def test_an_opening_by_training_counts_though_the_ledger_stayed_behind(replays, opened, tmp_path):
    shutil.copytree(opened.folder / "deploy", tmp_path / "copy")
    manifest = tmp_path / "copy" / "manifest.json"
    shown = ("replay.holdout=open", f"manifest={manifest}")
    told = replays(*shown)[1]["symbols"]["EURUSD"]["holdout"]
    assert (told["n_openings"], told["n_configurations"]) == (2, 2)
    assert not told["ledger_lacks_training"]
    (manifest.parent / LEDGER).unlink()
    for n in (2, 3):
        _, summary, _, said = replays(*shown)
        told = summary["symbols"]["EURUSD"]["holdout"]
        assert (told["n_openings"], told["n_configurations"]) == (n, 2)
        assert told["in_words"].endswith("lacks that training had opened it before")
        assert told["in_words"] in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("lacks that training had opened it before") == 1


def test_a_promoted_manifest_brings_along_how_often_its_holdout_was_opened(
    replays, opened, tmp_path
):
    live = tmp_path / "live" / "manifest.json"
    now_utc = datetime.now(UTC)
    source = opened.folder / "deploy" / "manifest.json"
    promote(source, live, reason=None, public_key=None, now_utc=now_utc)
    _, summary, _, _ = replays("replay.holdout=open", f"manifest={live}")
    told = summary["symbols"]["EURUSD"]["holdout"]
    assert (told["n_openings"], told["ledger_lacks_training"]) == (2, False)


def test_a_ledger_that_cannot_be_read_keeps_every_holdout_closed(replays, manifest, monkeypatch):
    (manifest.parent / LEDGER).write_text("no opening\n")
    monkeypatch.setattr(pipelines.backtest_run, "replay", lambda *markets, **settings: 1 / 0)
    with pytest.raises(ConfigError, match=r"replay\.holdout: .*line 1: is no opening of a holdout"):
        replays("replay.holdout=open")


def test_a_symbol_without_a_model_is_listed_with_the_reason_and_is_no_failure(replays, manifest):
    unselect(manifest, "GBPUSD")
    code, summary, trades, said = replays()
    assert code == 0
    assert summary["untraded"] == {"GBPUSD": "No signal"}
    assert set(trades["symbol"]) == {"EURUSD"}
    assert "GBPUSD: not traded, no model is deployed: No signal" in said


def test_where_nothing_is_deployed_nothing_is_traded_and_a_sentence_says_so(replays, manifest):
    unselect(manifest, "EURUSD", "GBPUSD")
    code, summary, trades, said = replays()
    assert (code, len(trades), summary["symbols"]) == (0, 0, {})
    assert NOTHING_DEPLOYED in said


def test_a_symbol_that_cannot_be_replayed_costs_no_other(replays, manifest):
    place = (
        manifest.parent
        / json.loads(manifest.read_text())["selections"]["GBPUSD"]["predictions"]["path"]
    )
    place.write_bytes(b"changed")
    code, summary, trades, said = replays()
    assert code == 3
    assert set(trades["symbol"]) == {"EURUSD"}
    assert summary["failed"]["GBPUSD"].startswith("GBPUSD: predictions/GBPUSD/RandomForest-")
    assert "not replayed: GBPUSD: predictions/GBPUSD/" in said
    code, summary, _, said = replays("symbols=[GBPUSD]", out="none")
    assert (code, summary) == (1, None)
    assert "has 7 bytes, the manifest says" in said


def test_every_event_can_be_traded_to_see_what_the_entries_bring(replays, tmp_path):
    _, chosen, _, _ = replays()
    _, summary, trades, said = replays("entries.model=events", out="events")
    assert summary["statistics"]["trades"]["n_trades"] > chosen["statistics"]["trades"]["n_trades"]
    assert set(trades["model"]) == {"events"}
    assert set(trades["confidence"]) == {0.5}
    assert "every event, no model" in said
    assert "every event, no model" in summary["note"]
    assert "chosen by hand" not in (tmp_path / "events" / "report.html").read_text()


def test_where_events_begin_with_the_bars_a_line_says_how_to_compare_them(replays, manifest):
    unselect(manifest, "GBPUSD")
    document = json.loads(manifest.read_text())
    del document["selections"]["GBPUSD"]["windows"]["out_of_fold"]
    manifest.write_text(json.dumps(document))
    events = "entries.model=events"
    (warning,) = replays(events)[1]["warnings"]
    assert warning.startswith("GBPUSD: its events begin with its bars")
    assert "give replay.start" in warning
    assert replays(events, "replay.start=2010-06-01")[1]["warnings"] == []


def test_what_is_deployed_is_not_called_undeployed_when_it_is_asked_for_by_name(
    replays, run, manifest, tmp_path
):
    asked = ("entries.model=RandomForest", f"entries.run={run.folder / 'out'}")
    assert replays(*asked)[1]["note"] == f"RandomForest: {DEPLOYED}"
    unselect(manifest, "GBPUSD")
    _, summary, _, _ = replays(*asked)
    models = {symbol: one["model"] for symbol, one in summary["symbols"].items()}
    assert models["EURUSD"] == f"RandomForest ({DEPLOYED})"
    assert models["GBPUSD"] == f"RandomForest ({NOT_DEPLOYED})"
    assert f"{NOT_DEPLOYED}: GBPUSD; {DEPLOYED}: EURUSD" in summary["note"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Not deployed, but chosen by hand: GBPUSD." in page


def test_where_no_decision_is_judged_a_line_says_so(replays, run):
    begins = run.manifest["selections"]["EURUSD"]["predictions"]["first_decision"][:10]
    _, summary, trades, _ = replays(f"replay.end={begins}", "symbols=[EURUSD]")
    assert len(trades) == 0
    (warning,) = summary["warnings"]
    assert warning.startswith("EURUSD: no trade, as no decision up to ")
    assert warning.endswith(f"is judged; predictions begin on {begins}")


def test_a_replay_that_is_cut_off_leaves_no_summary_of_another_beside_its_tables(
    replays, tmp_path, monkeypatch
):
    replays()
    monkeypatch.setattr(pipelines.backtest_run, "write_report", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        replays("++exits.parameters.stop_mult=5.0")
    left = {path.name for path in (tmp_path / "out").glob("[!.]*")}
    assert left == REPLAY_FILES - {"summary.json", "report.html"}


def test_the_digest_is_of_the_manifest_that_was_checked(replays, manifest, monkeypatch):
    before = hashlib.sha256(manifest.read_bytes()).hexdigest()
    really = pipelines.backtest_run.find_entries

    def replaced_meanwhile(*given):
        manifest.write_text("another")
        return really(*given)

    monkeypatch.setattr(pipelines.backtest_run, "find_entries", replaced_meanwhile)
    assert replays()[1]["manifest_sha256"] == before


def test_a_model_that_nobody_deployed_is_marked_wherever_its_figures_stand(replays, run, tmp_path):
    trained = f"entries.run={run.folder / 'out'}"
    _, summary, _, said = replays("entries.model=MajorityClass", trained)
    assert summary["note"] == "MajorityClass: not deployed, chosen by nobody"
    assert summary["note"] in said
    assert "not deployed, chosen by nobody" in (tmp_path / "out" / "report.html").read_text()
    assert all("not deployed" in one["model"] for one in summary["symbols"].values())
    with pytest.raises(ConfigError, match=r"entries\.model: LogisticRegresion was not trained in"):
        replays("entries.model=LogisticRegresion", trained, out="none")


def test_two_replays_do_not_write_to_one_folder_at_once(replays, tmp_path):
    with held(tmp_path / "out"), pytest.raises(ConfigError, match="another run is at work in"):
        replays()


def test_parameters_that_are_set_change_the_trades(replays):
    _, _, plain, _ = replays()
    _, summary, wide, _ = replays("++exits.parameters.stop_mult=5.0", out="wide")
    assert wide["risk_price"].mean() > plain["risk_price"].mean()
    assert summary["policy"] == "defaults"


def test_an_open_mapping_takes_a_key_without_a_plus():
    given = ["exits.parameters.stop_mult=3.0", "seed=3", "exits.tick_size.EURUSD=0.1", "+a=1"]
    assert with_new_keys(given) == [f"++{given[0]}", "seed=3", f"++{given[2]}", "+a=1"]
    assert with_new_keys(["exits.parameters={stop_mult:3.0}"])[0].startswith("++")
    settings = backtest_settings(composed(*with_new_keys(given[:3]), config_name="backtest"))
    exits = settings.exits
    assert (exits.parameters, exits.tick_size) == ({"stop_mult": 3.0}, {"EURUSD": 0.1})
    dotted = with_new_keys(["exits.tick_size={BRK.B: 0.01}"])
    settings = backtest_settings(composed(*dotted, config_name="backtest"))
    assert settings.exits.tick_size == {"BRK.B": 0.01}


def test_a_period_limits_what_is_traded(replays, run):
    rows = pl.read_parquet(run.folder / "out" / "predictions" / "EURUSD_RandomForest.parquet")
    middle = f"{rows['timestamp'][len(rows) // 2]:%Y-%m-%d}"
    _, _, late, _ = replays(f"replay.start={middle}", "symbols=[EURUSD]")
    _, _, early, _ = replays(f"replay.end={middle}", "symbols=[EURUSD]", out="early")
    assert f"{late['signal_time'].min():%Y-%m-%d}" >= middle
    assert f"{early['exit_time'].max():%Y-%m-%d}" <= middle
    assert min(len(late), len(early)) > 3


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["manifest=nowhere.json"], "manifest: nowhere.json: no such manifest; train first"),
        (["symbols=[EURUDS]"], "symbols: EURUDS is not in the manifest, did you mean EURUSD?"),
        (["++exits.tick_size.EURUDS=1.0"], "exits.tick_size.EURUDS is not in the manifest, did "),
        (["++exits.tick_size.EURUSD=1e-300"], "exits.tick_size.EURUSD: 1e-300 is no tick of pri"),
        (["++exits.tick_size.EURUSD=9e9"], "exits.tick_size.EURUSD: 9e+09 is no tick of prices "),
        (["++exits.tick_size.EURUSD=inf"], "exits.tick_size.EURUSD must be a number, was inf"),
        (["entries.model=XGBoost", "entries.run=nowhere"], "entries.run: nowhere is no folder of"),
    ],
)
def test_what_only_the_manifest_can_tell_is_one_line_too(replays, overrides, sentence):
    with pytest.raises(ConfigError) as refused:
        replays(*overrides)
    assert str(refused.value).startswith(sentence)


def test_real_models_are_not_replayed_on_a_simulated_market(replays, manifest):
    document = json.loads(manifest.read_text())
    document["provenance"]["simulated"] = False
    manifest.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="trained on real prices, these bars are of a simulated"):
        replays()
