"""The command from a manifest and later bars to who has drifted."""

import hashlib
import json
from datetime import UTC, datetime
from unittest import mock

import pytest

from live import symbol_drift
from live.alerts import NoAlerts
from live.drift_report import (
    FILE,
    DriftReport,
    DriftReportError,
    SymbolDrift,
    read_drift,
)
from market.simulate import SimulatedMarket
from market.source import source_digest
from pipelines import drift_beside
from pipelines.command import ConfigError
from pipelines.drift import drift
from pipelines.drift_beside import still_said
from pipelines.drift_settings import drift_settings
from selection import DeployedModels
from selection.amended import amend
from tests.pipelines.conftest import command, composed, write_bars

LATER = ("data=changing", "data.n_bars=9000", "data.changes_at=4500", "limits.window=40")
STAYS = (*LATER, "data.edge_after=null")
LOUD = (*LATER, "data.edge_after=null", "data.volatility_after=4", "symbols=[EURUSD]")


@pytest.fixture
def looks(tmp_path, manifest, capsys):
    """Run the command in this process; return exit code, report and what was printed."""

    def run(*overrides, out="out"):
        places = (f"manifest={manifest}", f"output_dir={tmp_path / out}")
        trackers = () if any("tracking" in one for one in overrides) else ("tracking=none",)
        code = drift(composed(*places, *trackers, *overrides, config_name="drift"))
        file = tmp_path / out / FILE
        return code, read_drift(file) if file.exists() else None, capsys.readouterr().out

    return run


def test_a_feature_that_moves_trips_after_the_change_and_the_report_lies_beside_the_manifest(
    looks, manifest
):
    code, report, said = looks(*LOUD)
    change = SimulatedMarket(n_bars=4500, edge=0.15).bars("EURUSD", 7).close_time_T[-1]
    assert code == 0
    assert report.tripped == ("EURUSD",)
    one = report.symbols["EURUSD"]
    assert one.tripped_at.replace(tzinfo=None) > change.item()
    assert one.tripped_by[0] == "features"
    assert one.reasons[0].startswith("atr moved: PSI")
    assert read_drift(manifest.with_name(FILE)) == report
    assert "EURUSD drifted" in said


def test_a_report_is_of_the_manifest_that_was_looked_at_and_of_nothing_later_than_until(looks):
    _, whole, _ = looks(*STAYS)
    code, early, _ = looks(*STAYS, "until=2010-10-20", out="early")
    assert code == 0
    assert early.manifest_sha256 == whole.manifest_sha256
    for symbol, one in early.symbols.items():
        assert 0 < one.n_events < whole.symbols[symbol].n_events


def test_few_outcomes_are_waited_for_and_not_called_stable(looks):
    _, report, _ = looks(*STAYS, "limits.least_outcomes=100000")
    assert {one.status for one in report.symbols.values()} <= {"waiting", "tripped"}
    waiting = [one for one in report.symbols.values() if one.status == "waiting"]
    assert all("100000 outcomes are known from" in one.reasons[0] for one in waiting)


def test_json_names_who_tripped_and_the_page_shows_the_paths(looks, tmp_path):
    code, report, said = looks(*LOUD, "format=json", "beside=false")
    assert code == 0
    assert json.loads(said)["tripped"] == list(report.tripped)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "How near each alarm came" in page
    assert "Features that moved" in page
    assert "EURUSD atr" in page


def test_the_report_says_of_which_market_it_speaks(looks):
    _, report, _ = looks(*LOUD)
    market = report.symbols["EURUSD"].market
    assert '"symbol": "EURUSD", "seed": 7' in market
    assert '"volatility": 4' in market


def test_beside_false_writes_nothing_beside_the_manifest(looks, manifest):
    looks(*STAYS, "beside=false")
    assert not manifest.with_name(FILE).exists()


def test_a_look_at_one_symbol_leaves_what_stands_of_the_others(looks, manifest):
    looks(*LOUD)
    _, alone, said = looks(*STAYS, "symbols=[GBPUSD]")
    beside = read_drift(manifest.with_name(FILE))
    assert said.count("drift.json names 2 of 2 symbols") == 1
    assert list(alone.symbols) == ["GBPUSD"]
    assert list(beside.symbols) == ["EURUSD", "GBPUSD"]
    assert beside.tripped[0] == "EURUSD"


def test_an_alarm_stands_where_the_next_look_fails_and_goes_where_it_finds_none(looks, manifest):
    looks(*LOUD)
    looks(*STAYS, "data.edge=0.3", "symbols=[EURUSD]", out="failed")
    assert read_drift(manifest.with_name(FILE)).tripped == ("EURUSD",)
    looks(*LOUD, "limits.window=200", out="waits")
    assert read_drift(manifest.with_name(FILE)).tripped == ()


def test_a_look_at_the_past_leaves_the_report_beside_the_manifest_alone(looks, manifest):
    looks(*LOUD)
    before = manifest.with_name(FILE).read_bytes()
    looks(*LOUD, "until=2010-10-20")
    assert manifest.with_name(FILE).read_bytes() == before
    looks(*LOUD, "until=2010-10-20", "beside=true")
    assert manifest.with_name(FILE).read_bytes() != before


def amended(manifest, symbol, **changes):
    """Put a manifest in place that differs in one entry."""
    content = manifest.read_bytes()
    entry = json.loads(content)["selections"][symbol] | changes
    amend(
        manifest,
        {symbol: entry},
        action="calibrate",
        reason="a test",
        expected_sha256=hashlib.sha256(content).hexdigest(),
        now_utc=datetime.now(UTC),
        key=None,
    )


def test_a_calibration_of_the_same_model_raises_no_second_alert_and_wipes_no_alarm(
    looks, manifest, monkeypatch
):
    sent = []
    monkeypatch.setattr(NoAlerts, "send", lambda _, alert: sent.append(alert))
    looks(*LOUD)
    amended(manifest, "EURUSD", decision_threshold=0.51)
    looks(*LOUD[:-1], "symbols=[GBPUSD]")
    assert "EURUSD" in read_drift(manifest.with_name(FILE)).tripped
    looks(*LOUD)
    assert [one.symbol for one in sent].count("EURUSD") == 1


def test_nothing_is_said_any_more_of_a_model_that_was_replaced(looks, manifest):
    looks(*LOUD)
    content = json.loads(manifest.read_text())
    entry = dict(content["selections"]["EURUSD"], selected_model=None, reason="none is good enough")
    content["selections"]["EURUSD"] = entry
    deployed = DeployedModels.from_manifest(manifest)
    assert still_said(manifest, deployed).keys() == {"EURUSD"}
    replaced = DeployedModels(
        manifest=content, folder=manifest.parent, refused={}, sha256=deployed.sha256
    )
    assert still_said(manifest, replaced).keys() == {"EURUSD"}


def test_where_nothing_can_be_tested_a_symbol_waits_and_says_why(looks, manifest, monkeypatch):
    document = json.loads(manifest.read_text())
    entry = document["selections"]["EURUSD"]
    entry |= {"out_of_fold": None, "holdout": None}
    entry["windows"].pop("train")
    manifest.write_text(json.dumps(document))
    monkeypatch.setattr(symbol_drift, "slope_before", lambda *_, **__: "its slope is not known")
    _, report, said = looks(*STAYS, "symbols=[EURUSD]")
    one = report.symbols["EURUSD"]
    assert one.status == "waiting"
    assert one.reasons[0].startswith("nothing is tested")
    assert "its slope is not known" in said
    assert "> 4,000" not in said


def test_a_place_beside_the_manifest_that_cannot_be_written_is_refused_before_the_look(
    looks, manifest
):
    manifest.with_name(FILE).mkdir()
    with pytest.raises(ConfigError, match=r"beside: .*drift\.json is a folder; move it, or give"):
        looks(*LOUD)
    assert looks(*LOUD, "beside=false")[0] == 0


def test_an_alert_is_sent_though_the_report_cannot_be_put_beside_the_manifest(
    looks, monkeypatch, capsys
):
    sent = []
    monkeypatch.setattr(NoAlerts, "send", lambda _, alert: sent.append(alert))
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(drift_beside, "write_drift", mock.Mock(side_effect=full))
    with pytest.raises(OSError, match="No space left"):
        looks(*LOUD)
    assert [one.symbol for one in sent] == ["EURUSD"]
    assert "EURUSD drifted" in capsys.readouterr().out


def test_a_bound_that_a_constant_answer_meets_is_said(looks, manifest):
    document = json.loads(manifest.read_text())
    document["selections"]["EURUSD"] |= {"holdout": None}
    document["selections"]["EURUSD"]["out_of_fold"]["accuracy"] = 0.5
    manifest.write_text(json.dumps(document))
    _, report, _ = looks(*STAYS, "symbols=[EURUSD]")
    (said,) = [one for one in report.symbols["EURUSD"].reasons if "commoner outcome" in one]
    assert "may never trip by it" in said


def test_an_alarm_is_sent_once_and_again_only_of_another_one(looks, monkeypatch):
    sent = []
    monkeypatch.setattr(NoAlerts, "send", lambda _, alert: sent.append(alert))
    looks(*LOUD)
    assert [(one.kind, one.symbol) for one in sent] == [("drift", "EURUSD")]
    assert sent[0].text.startswith("EURUSD has drifted: atr moved")
    looks(*LOUD)
    assert len(sent) == 1
    looks(*LOUD, "limits.window=50")
    assert len(sent) == 2


def test_bars_that_were_not_trained_on_fail_by_name_and_real_ones_are_refused(looks, tmp_path):
    code, report, _ = looks(*STAYS, "data.edge=0.3", "symbols=[EURUSD]")
    assert code == 1
    assert report.symbols["EURUSD"].status == "failed"
    assert report.symbols["EURUSD"].reasons[0].startswith("EURUSD")
    with pytest.raises(ConfigError, match=r"seed: 8 here, 7 in the manifest: .* give seed=7"):
        looks(*STAYS, "seed=8")
    write_bars(tmp_path, "EURUSD", 1000)
    with pytest.raises(ConfigError, match="trained on a simulated market, these bars are of real"):
        looks("data=bars", f"data.dir={tmp_path}")


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("limits.window=5", "limits.window must be at least 20 signals, was 5"),
        ("limits.confidence=1.0", "limits.confidence must be from 0.5 to below 1, was 1"),
        ("+limits.windw=5", "limits.windw: unknown key, did you mean window?"),
        ("until=soon", "until must be a day such as 2020-01-31, was 'soon'"),
        ("symbols=[]", "symbols: is empty; name at least one, or null for all"),
        ("data.edge_after=-2", "data.edge_after must be from -1 to 1, was -2.0"),
        ("data.changes_at=null", "data.edge_after goes with changes_at: after how many bars?"),
    ],
)
def test_what_cannot_be_is_one_line(override, line):
    with pytest.raises(ConfigError) as error:
        drift_settings(composed("data=changing", override, config_name="drift"))
    assert str(error.value) == line


def test_the_command_itself_ends_well(manifest, tmp_path):
    given = (f"manifest={manifest}", "tracking=none", "data.n_bars=6000", "data.cache=null")
    done = command("drift", *given, "output_dir=out", "symbols=[EURUSD]", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "report.html").exists()


def test_a_report_that_cannot_be_read_is_one_line_naming_the_field(tmp_path):
    file = tmp_path / FILE
    with pytest.raises(DriftReportError, match=r"no such report; run python -m pipelines\.drift"):
        read_drift(file)
    found = {"timestamp": "2020-01-01T00:00:00Z", "manifest_sha256": "a" * 64, "symbols": {}}
    file.write_text(json.dumps({**found, "symbols": {"EURUSD": {"status": "tripped"}}}))
    with pytest.raises(DriftReportError, match=r"symbols\.EURUSD: .*tripped_at goes with status"):
        read_drift(file)
    file.write_text(json.dumps(found))
    assert read_drift(file).tripped == ()
    with pytest.raises(ValueError, match="timezone"):
        DriftReport.model_validate({**found, "timestamp": "2020-01-01T00:00:00"})
    assert SymbolDrift(status="stable").reasons == ()


def test_a_market_that_changes_begins_as_the_one_that_stays_and_is_told_apart():
    stays = SimulatedMarket(n_bars=900, edge=0.15)
    changes = SimulatedMarket(n_bars=900, edge=0.15, changes_at=500, edge_after=-0.5)
    one, other = (market.bars("EURUSD", 3).close_T for market in (stays, changes))
    assert (one[:500] == other[:500]).all()
    assert (one[501:] != other[501:]).mean() > 0.9
    digests = [source_digest(market, "EURUSD", 3) for market in (stays, changes)]
    assert digests[0] == "simulated EURUSD seed 3 bars 900 edge 0.15"
    assert digests[1] == f"{digests[0]} from bar 500 edge -0.5 volatility 1"
    assert "change" not in stays.identity("EURUSD", 3)
