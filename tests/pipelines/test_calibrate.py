"""The command from a manifest and later bars to the next manifest."""

import json
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from market.simulate import SimulatedMarket
from pipelines.calibrate import calibrate
from pipelines.calibrate_settings import calibrate_settings
from pipelines.command import ConfigError
from selection import DeployedModels
from selection.deploy_history import read_history
from selection.promotion import roll_back
from selection.signing import SigningKey, signature_name
from tests.pipelines.conftest import composed, lines_shown
from tests.selection.keys import write_pair

LATER = "data.n_bars=9000"
# What the forests of so few rows say is far from what comes of it in another market.
TURNED = (LATER, "++data.changes_at=4000", "++data.edge_after=-0.5")


@pytest.fixture
def calibrates(tmp_path, manifest, capsys):
    """Run the command in this process; return exit code, document and what was printed."""

    def run(*overrides, out="out"):
        folder = tmp_path / out
        places = (f"manifest.path={manifest}", f"output_dir={folder}")
        trackers = () if any("tracking" in one for one in overrides) else ("tracking=none",)
        conf = composed(*places, *trackers, *overrides, config_name="calibrate")
        with lines_shown():
            code = calibrate(conf)
        said = capsys.readouterr()
        file = folder / "calibrate.json"
        return code, json.loads(file.read_text()) if file.exists() else None, said.out

    return run


def selections(manifest):
    return json.loads(manifest.read_text())["selections"]


def test_what_is_adopted_stands_in_the_next_manifest_and_nothing_else_changes(calibrates, manifest):
    before, digest = selections(manifest), DeployedModels.from_manifest(manifest).sha256
    code, found, said = calibrates(*TURNED)
    after = selections(manifest)
    adopted = {name for one in found["judgements"] if one["adopted"] for name in one["symbols"]}
    assert code == 0
    assert adopted
    for symbol, entry in after.items():
        mapped = entry.pop("live_calibration", None)
        assert (mapped is not None) == (symbol in adopted)
        assert entry == before[symbol]
        if mapped:
            assert mapped["log_loss"]["after"] < mapped["log_loss"]["before"]
    models = DeployedModels.from_manifest(manifest)
    assert found["published_sha256"] == models.sha256 != digest == found["manifest_sha256"]
    assert "is live" in said


def test_the_history_says_calibrate_and_a_rollback_brings_back_the_old_probabilities(
    calibrates, manifest, tmp_path
):
    before = manifest.read_bytes()
    calibrates(*TURNED)
    assert read_history(manifest).deployments[-1].action == "calibrate"
    roll_back(manifest, None, reason=None, public_key=None, now_utc=datetime.now(UTC))
    assert manifest.read_bytes() == before


def test_what_was_rolled_back_is_not_adopted_again_on_the_same_outcomes(calibrates, manifest):
    _, first, _ = calibrates(*TURNED)
    adopted = {name for one in first["judgements"] if one["adopted"] for name in one["symbols"]}
    roll_back(manifest, None, reason=None, public_key=None, now_utc=datetime.now(UTC))
    before = manifest.read_bytes()
    code, again, said = calibrates(*TURNED, out="again")
    assert code == 0
    assert manifest.read_bytes() == before
    assert set(again["rolled_back"]) == adopted
    for one in again["judgements"]:
        if adopted & set(one["symbols"]):
            assert one["adopted"] is None
            assert "since the calibration that was rolled back was fitted" in one["why"]
    assert "was rolled back: only what was decided since then is judged" in said


def test_one_that_was_brought_back_is_not_called_rolled_back(calibrates, manifest):
    _, first, _ = calibrates(*TURNED)
    for to in (None, first["published_sha256"]):
        roll_back(manifest, to, reason=None, public_key=None, now_utc=datetime.now(UTC))
    _, again, _ = calibrates(*TURNED, out="again")
    assert again["rolled_back"] == {}


def test_publish_false_reports_the_same_and_leaves_the_manifest_alone(calibrates, manifest):
    content = manifest.read_bytes()
    code, only_said, said = calibrates(*TURNED, "publish=false", out="said")
    assert code == 0
    assert manifest.read_bytes() == content
    assert "publish=false" in said
    _, published, _ = calibrates(*TURNED)
    assert only_said["judgements"] == published["judgements"]


def test_with_too_few_outcomes_nothing_is_judged_and_the_table_says_how_many_are_missing(
    calibrates, manifest
):
    content = manifest.read_bytes()
    code, found, said = calibrates("data.n_bars=4200")
    (pooled,) = found["judgements"]
    assert code == 0
    assert pooled["scope"] == "pooled"
    assert pooled["missing"] == 50 - pooled["outcomes"] > 0
    assert f"{pooled['missing']} missing" in said
    assert manifest.read_bytes() == content


def test_on_a_narrow_terminal_rows_are_named_and_no_verdict_is_cut(calibrates, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, found, said = calibrates(*TURNED, "publish=false")
    rows = [line for line in said.splitlines() if " before " in line or " after " in line]
    kinds = ["before" in line for line in rows[: 2 * len(found["judgements"])]]
    assert kinds == [True, False] * len(found["judgements"])
    assert "Taken: signals that reach" in " ".join(said.split())
    assert sum("adopted" in line for line in rows) == sum(
        one["adopted"] is not None for one in found["judgements"]
    )


def test_a_map_that_ends_trading_is_named(calibrates, manifest, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "pipelines.calibrate_records.taken", lambda one, candidate: 9 if candidate is None else 0
    )
    _, found, said = calibrates(*TURNED, "publish=false")
    adopted = [name for one in found["judgements"] if one["adopted"] for name in one["symbols"]]
    assert found["ends_trading"] == adopted
    line = f"{', '.join(adopted)} would have taken no signal"
    assert line in said
    assert line in (tmp_path / "out" / "report.html").read_text()


def test_one_symbol_is_no_pool_and_none_deployed_is_said(calibrates, manifest):
    _, found, said = calibrates("data.n_bars=4200", "symbols=[EURUSD]")
    assert found["judgements"][0]["scope"] == "model"
    assert "pooled" not in said
    changed = json.loads(manifest.read_text())
    for entry in changed["selections"].values():
        entry |= {"selected_model": None, "reason": "No signal", "action": "REVIEW"}
    changed["summary"] |= {"models_selected": 0, "manual_review_needed": 2}
    manifest.write_text(json.dumps(changed))
    code, _, said = calibrates("data.n_bars=4200", out="none")
    assert code == 0
    assert "no symbol is deployed." in said


def test_what_lies_behind_until_changes_nothing(calibrates):
    days = SimulatedMarket(n_bars=9000, edge=0.15).bars("EURUSD", 7).close_time_T
    until = f"until={days[7000].astype('datetime64[D]')}"
    told = [
        calibrates(
            f"data.n_bars={n}",
            "++data.changes_at=4000",
            "++data.edge_after=-0.5",
            until,
            "publish=false",
            out=str(n),
        )[1]
        for n in (7200, 9000)
    ]
    assert told[0]["judgements"] == told[1]["judgements"]
    assert told[0]["judgements"][0]["outcomes"] > 50


def test_figures_are_of_rows_that_the_map_was_not_fitted_on(calibrates):
    _, found, _ = calibrates(*TURNED, "publish=false")
    for one in found["judgements"]:
        kind = one["adopted"]
        assert one["judged"] == one["outcomes"]
        assert one["candidates"][kind]["gain"] == pytest.approx(
            one["before"]["log_loss"] - one["candidates"][kind]["log_loss"]
        )
        counts = [
            sum(each["n"] for each in one["reliability"][when]) for when in ("before", "after")
        ]
        assert counts == [one["judged"]] * 2


def test_a_second_run_on_the_same_bars_waits_for_new_outcomes(calibrates, manifest):
    _, first, _ = calibrates(*TURNED)
    live = manifest.read_bytes()
    code, second, said = calibrates(*TURNED, out="again")
    adopted = {name for one in first["judgements"] if one["adopted"] for name in one["symbols"]}
    waiting = {name for one in second["judgements"] if one["missing"] for name in one["symbols"]}
    assert code == 0
    assert adopted <= waiting
    assert manifest.read_bytes() == live
    assert "missing" in said


def test_the_backtest_trades_calibrated_probabilities_from_the_last_outcome_on(
    calibrates, replays, manifest
):
    own = replays(*TURNED, "replay.holdout=open", out="own")[2]
    _, found, _ = calibrates(*TURNED, "until=2011-03-01")
    mapped = replays(*TURNED, "replay.holdout=open", out="mapped")[2]
    until = {
        name: one["live_calibration"]["fitted_until"]
        for one in found["judgements"]
        if one["live_calibration"]
        for name in one["symbols"]
    }
    assert until
    for symbol, moment in until.items():
        time = pl.lit(moment).str.to_datetime(time_zone="UTC")
        earlier = (pl.col("symbol") == symbol) & (pl.col("entry_time") <= time)
        assert own.filter(earlier)["confidence"].equals(mapped.filter(earlier)["confidence"])
    assert not own["confidence"].equals(mapped["confidence"])


def test_json_is_the_document_alone(calibrates):
    _, found, said = calibrates(*TURNED, "publish=false", "format=json")
    assert json.loads(said) == found


def test_the_page_is_whole_and_needs_nothing_else(calibrates, tmp_path):
    calibrates(*TURNED)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "EURUSD" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page


def test_the_tracker_is_told_what_it_came_to(calibrates, tmp_path):
    import mlflow

    store = f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    calibrates(*TURNED, "tracking=sqlite", f"tracking.uri={store}")
    (run,) = mlflow.MlflowClient(store).search_runs(
        [one.experiment_id for one in mlflow.MlflowClient(store).search_experiments()]
    )
    assert run.info.status == "FINISHED"
    assert "EURUSD/before_log_loss" in run.data.metrics
    assert "is live" in run.data.tags["verdict"]


def test_a_symbol_whose_bars_are_missing_is_named_and_the_others_are_judged(
    calibrates, manifest, tmp_path
):
    document = json.loads(manifest.read_text())
    document["selections"]["ABCDEF"] = document["selections"]["GBPUSD"]
    document["summary"] |= {"total_symbols": 3, "models_selected": 3}
    manifest.write_text(json.dumps(document))
    code, found, _ = calibrates(*TURNED, "publish=false")
    assert code == 3
    assert "ABCDEF: is not in the data" in found["failed"]["ABCDEF"]
    assert len(found["judgements"]) == 2


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("alpha=0.5", "alpha must be above 0 and below 0.5, was 0.5"),
        ("seed=-1", "seed must be at least 0, was -1"),
        ("symbols=[]", "symbols: is empty; name at least one, or null for all"),
        ("until=soon", "until must be a day such as 2020-01-31, was 'soon'"),
        ("output_dir=''", "output_dir must name a folder, or be null, was empty"),
        ("++publsh=false", "publsh: unknown key, did you mean publish?"),
        ("++manifest.pth=x", "manifest.pth: unknown key, did you mean path?"),
        ("format=csv", "format must be one of table, json, was 'csv'"),
    ],
)
def test_a_mistake_in_the_configuration_is_one_line(override, line):
    with pytest.raises(ConfigError) as error:
        calibrate_settings(composed(override, config_name="calibrate"))
    assert str(error.value) == line


def test_another_market_and_an_unknown_symbol_are_refused(calibrates, market_files):
    with pytest.raises(ConfigError, match="these bars are of real prices"):
        calibrates("data=bars", f"data.dir={market_files}")
    with pytest.raises(ConfigError, match="symbols: EURUDS is not in the manifest, did you mean"):
        calibrates("symbols=[EURUDS]")
    with pytest.raises(ConfigError, match=r"seed: 8 here, 7 in the manifest: .* give seed=7"):
        calibrates("seed=8")


def test_a_signed_manifest_is_not_replaced_by_an_unsigned_one(calibrates, manifest, tmp_path):
    private = write_pair(tmp_path, "signing")
    public = private.with_suffix(".pub")
    content = manifest.read_bytes()
    signature = SigningKey(private).signature(content)
    place = manifest.parent / signature_name(content)
    place.parent.mkdir()
    place.write_bytes(signature)
    with pytest.raises(ConfigError, match="signing_key is missing"):
        calibrates(*TURNED)
    key = ("manifest.sign=true", f"manifest.signing_key={private}", f"public_key={public}")
    code, found, _ = calibrates(*TURNED, *key)
    assert code == 0
    models = DeployedModels.from_manifest(manifest, public_key=public)
    assert models.sha256 == found["published_sha256"]
    assert np.isfinite(found["judgements"][0]["before"]["log_loss"])
