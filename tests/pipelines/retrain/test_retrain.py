"""A challenger is trained, waits, is judged by later events, and takes the place or goes."""

import json
import shutil
from datetime import datetime

import numpy as np
import pytest

from backtest.entries import deployed_entries
from backtest.period import Period
from live.drift_report import SymbolDrift
from live.resolved import resolved
from market.simulate import SimulatedMarket
from pipelines import retrain_run
from pipelines.command import ConfigError
from selection import DeployedModels
from selection.challenger_state import files_digest, read_state
from selection.challenges import Challenges
from selection.deploy_history import read_history
from tests.pipelines.conftest import COUNCIL_ALONE
from tests.pipelines.retrain.conftest import (
    BAD,
    BEGINS,
    ENDS,
    ENOUGH,
    EURUSD,
    FEW,
    alarm,
    challenger,
    digests,
    entries,
    rewritten,
    rolled_back,
)
from tests.selection.keys import write_pair

CALIBRATION = {
    "kind": "platt",
    "slope": 1.0,
    "intercept": 0.0,
    "scope": "model",
    "fitted_from": "2010-09-01T00:00:00+00:00",
    "fitted_until": "2011-09-01T00:00:00+00:00",
    "rows": 60,
    "log_loss": {"before": 0.7, "after": 0.69},
}


def test_a_better_challenger_takes_the_place_of_its_champion_and_nothing_else_changes(
    untaught, adopted
):
    assert adopted.done.code == 0
    assert "EURUSD: Better on" in adopted.done.said
    was = untaught / "manifest.json"
    before, after = entries(was), entries(adopted.live)
    assert after["EURUSD"]["selected_model"] == "Council"
    assert json.dumps(after["GBPUSD"]) == json.dumps(before["GBPUSD"])
    assert digests(adopted.live, "GBPUSD") == digests(was, "GBPUSD")
    (alert,) = adopted.sent
    assert (alert.kind, alert.symbol) == ("challenger", "EURUSD")


def test_the_new_champion_is_live_whole_and_its_judgement_is_told(adopted):
    live = adopted.live
    deployed = DeployedModels.from_manifest(live)
    challenge = deployed.selection("EURUSD")["challenge"]
    assert challenge["champion"] == "RandomForest"
    assert challenge["log_loss"] < challenge["champion_log_loss"]
    market = SimulatedMarket(
        n_bars=14000, edge=0, changes_at=4000, edge_after=0.6, volatility_after=1.0
    )
    later = resolved(deployed, "EURUSD", market.bars("EURUSD", 7))
    read_until = datetime.fromisoformat(challenge["until"]).replace(tzinfo=None)
    assert later.since >= np.datetime64(read_until)
    bars, period = market.bars("EURUSD", 7), Period()
    assert deployed_entries(deployed, "EURUSD", bars, period).market.seen_until == later.since
    assert deployed.selection("EURUSD")["windows"]["holdout"] == "awaiting live data"
    assert files_digest(deployed.selection("EURUSD")) == files_digest(
        entries(challenger(live))["EURUSD"]
    )


def test_events_that_judge_are_later_than_the_alarm_and_all_that_either_was_made_from(live, again):
    alarm(live, at="2011-09-01T00:00:00+00:00")
    again(live, *EURUSD, ENOUGH)
    (judged,) = Challenges(live).recorded()
    state = read_state(live, "EURUSD")
    learnt = entries(challenger(live))["EURUSD"]["predictions"]
    assert datetime.fromisoformat(learnt["development_end"]) <= state.trained_until
    assert judged.from_utc > max(state.trained_until, state.alarm)
    champion = json.loads(live.read_text())
    assert champion["selections"]["EURUSD"]["challenge"]["from"] == judged.from_utc.isoformat()


def test_a_worse_challenger_is_dismissed_and_the_champion_stays(knowing, again, told):
    was = knowing.read_bytes()
    done = again(knowing, "symbols=[EURUSD]", "until=2011-02-01", *BAD, ENOUGH)
    assert done.code == 0
    assert "dismissed" in done.said
    assert "MANUAL_REVIEW" in done.said
    assert knowing.read_bytes() == was
    assert read_state(knowing, "EURUSD").status == "dismissed"
    assert "stays, and is to be looked at" in told[0].text


def test_a_challenger_without_evidence_is_none(knowing, again, told):
    was = knowing.read_bytes()
    ended = (*ENDS, "data.n_bars=12000", *COUNCIL_ALONE, "split.first_train=0.9")
    done = again(knowing, "symbols=[EURUSD]", "until=2011-12-01", *ended, ENOUGH)
    assert "Its training selects nothing: Refused" in done.said
    assert knowing.read_bytes() == was
    assert read_state(knowing, "EURUSD").status == "dismissed"
    assert Challenges(knowing).recorded() == []
    assert len(told) == 1


def test_events_before_a_break_that_is_known_are_not_learnt_from(live, again):
    given = ("symbols=[EURUSD]", "until=2012-02-01", "training.max_feature_auc=0.9", FEW)
    again(live, *given, "learn_from=2010-08-26")
    windows = entries(challenger(live))["EURUSD"]["windows"]
    assert "2010-08-26" < windows["train"]["start"] < "2010-09-10"
    assert windows["train"]["end"] < "2012-02-01"
    assert read_state(live, "EURUSD").status == "waiting"


def test_a_symbol_without_a_model_gets_one_by_evidence_alone(live, again):
    manifest = json.loads(live.read_text())
    entry = manifest["selections"]["EURUSD"]
    none = {"selected_model": None, "reason": "none", "action": "MANUAL_REVIEW_REQUIRED"}
    kept = {key: entry[key] for key in ("features", "label", "windows")}
    manifest["selections"]["EURUSD"] = {**kept, **none}
    manifest["summary"] |= {"models_selected": 1, "manual_review_needed": 1}
    live.write_text(json.dumps(manifest, indent=2))
    done = again(live, *EURUSD, ENOUGH)
    assert "EURUSD: Better on" in done.said
    assert entries(live)["EURUSD"]["challenge"]["champion"] is None
    assert json.loads(live.read_text())["summary"]["models_selected"] == 2


def test_an_alarm_on_another_champion_concerns_nobody(live, again):
    alarm(live)
    manifest = json.loads(live.read_text())
    manifest["selections"]["EURUSD"] |= {"selected_model": None, "action": "REVIEW"}
    manifest["summary"] |= {"models_selected": 1, "manual_review_needed": 1}
    live.write_text(json.dumps(manifest))
    done = again(live, ENOUGH)
    assert "the alarm was raised on another champion" in done.said
    assert read_state(live, "EURUSD") is None


def test_an_alarm_on_another_market_concerns_nobody(live, again):
    elsewhere = SymbolDrift(
        status="tripped", tripped_at="2011-06-19T00:00:00+00:00", market="simulated {}"
    )
    alarm(live, EURUSD=elsewhere)
    done = again(live, ENOUGH)
    assert "the alarm was raised on the bars of another market" in done.said
    assert read_state(live, "EURUSD") is None


def test_with_nothing_tripped_nothing_is_done(live, again):
    alarm(live, EURUSD=SymbolDrift(status="stable"))
    was = live.read_bytes()
    done = again(live)
    assert (done.code, live.read_bytes()) == (0, was)
    assert "Nothing to do" in done.said


def test_the_history_tells_it_and_one_rollback_takes_it_back(untaught, adopted, tmp_path):
    shutil.copytree(adopted.live.parent, tmp_path / "deploy")
    live = tmp_path / "deploy" / "manifest.json"
    (*_, last) = read_history(live).deployments
    assert last.action == "retrain"
    assert last.reason.startswith("EURUSD: Council for RandomForest: Better on")
    rolled_back(live)
    assert live.read_bytes() == (untaught / "manifest.json").read_bytes()


def test_with_too_few_later_events_it_waits_and_is_judged_by_a_later_command(
    untaught, with_challengers, waits, again
):
    assert "EURUSD: Waits for later events:" in with_challengers.done.said
    assert with_challengers.sent == []
    assert waits.read_bytes() == (untaught / "manifest.json").read_bytes()
    made = challenger(waits).read_bytes()
    later = again(waits, *EURUSD, *BEGINS, "data.n_bars=16000", *COUNCIL_ALONE, ENOUGH)
    assert "EURUSD: Better on" in later.said
    assert challenger(waits).read_bytes() == made


def test_a_calibrated_champion_is_judged_on_what_its_calibration_has_not_read(waits, again):
    rewritten(waits, "EURUSD", live_calibration=CALIBRATION)
    assert "Better on" in again(waits, *EURUSD, ENOUGH).said
    (judged,) = Challenges(waits).recorded()
    assert judged.from_utc > datetime.fromisoformat(CALIBRATION["fitted_until"])


def test_a_champion_that_came_while_another_was_trained_is_not_taken_for_it(
    waits, again, monkeypatch
):
    before = read_state(waits, "EURUSD")

    def trained(*_):
        rewritten(waits, "GBPUSD", reason="Another by now")
        return before

    monkeypatch.setattr(retrain_run, "trained_challenger", trained)
    done = again(waits, *EURUSD, ENOUGH, "renew=true")
    assert done.code == 0
    assert "EURUSD: Better on" in done.said
    assert entries(waits)["GBPUSD"]["reason"] == "Another by now"


def test_a_challenge_ends_where_its_champion_is_not_live_any_more(waits, again):
    manifest = json.loads(waits.read_text())
    manifest["selections"]["EURUSD"] = manifest["selections"]["GBPUSD"]
    waits.write_text(json.dumps(manifest))
    done = again(waits, *EURUSD, ENOUGH)
    assert "is not live any more" in done.said


def test_a_signed_manifest_needs_the_key_before_anything_is_trained(live, again, tmp_path):
    pytest.importorskip("model_signing")
    from selection.signing import SigningKey, signature_name

    key = write_pair(tmp_path, "signing")
    place = live.parent / signature_name(live.read_bytes())
    place.parent.mkdir()
    place.write_bytes(SigningKey(key).signature(live.read_bytes()))
    with pytest.raises(ConfigError, match=r"manifest\.signing_key is missing"):
        again(live, *EURUSD)
    assert not (live.parent / "challengers").exists()
    signs = ("manifest.sign=true", f"manifest.signing_key={key}")
    public = f"public_key={key.with_suffix('.pub')}"
    assert "Better on" in again(live, *EURUSD, ENOUGH, *signs, public).said
    DeployedModels.from_manifest(live, public_key=key.with_suffix(".pub"))
