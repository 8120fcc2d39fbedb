"""What is answered about entries is what the models say, to the bit."""

import json

import numpy as np
import pytest

from live.service.entries import entry_answer
from live.service.loaded import load_manifest
from live.service.questions import EntryRows, entry_question
from market.build import build_event_table
from models.calibration import Calibration
from models.store import load_model
from selection import DeployedModels
from selection.atomic import write_bytes_atomically
from selection.live_calibration import LiveCalibration
from selection.metrics import log_odds
from selection.signals import Signal, judged
from tests.live.service.served import frame, market, served

PATH = "/v1/entries/EURUSD"


@pytest.fixture(scope="module")
def deployed(councils):
    return DeployedModels.from_manifest(councils / "manifest.json")


@pytest.fixture(scope="module")
def found(deployed):
    return deployed.predict_bars("EURUSD", market())


def at_event(n, found, bars=None):
    """Return the bars up to the close of an event."""
    bars = bars or market()
    return bars.until(int(np.searchsorted(bars.close_time_T, found.t0_N[n])) + 1)


@pytest.mark.parametrize("n_rows", [1, 100])
def test_rows_are_answered_as_the_deployed_models_answer_them(server, deployed, found, n_rows):
    x_NF = found.x_NF[-n_rows:]
    status, answer = server.ask(PATH, {"features": x_NF.tolist()})
    expected_N = deployed.predict_proba("EURUSD", x_NF)[:, 1]
    assert status == 200
    assert [one["probability"] for one in answer["signals"]] == expected_N.tolist()
    assert answer["manifest_sha256"] == deployed.sha256


def test_a_calibrated_model_is_asked_once_and_its_answer_mapped(councils, found, monkeypatch):
    loaded = load_manifest(councils / "manifest.json", public_key=None)
    mapped = LiveCalibration(Calibration.platt(0.5, -0.2), "model", np.datetime64("2010-01-01"))
    monkeypatch.setattr(loaded.deployed, "live_calibration", lambda _: mapped)
    own_N = loaded.deployed.model_proba("EURUSD", found.x_NF[-5:])[:, 1]
    asked = []
    monkeypatch.setattr(
        loaded.deployed,
        "model_proba",
        lambda *of: asked.append(of) or np.stack([1 - own_N, own_N], 1),
    )
    answer = entry_answer(loaded, "EURUSD", EntryRows(features=found.x_NF[-5:].tolist()))
    said = [one["probability"] for one in answer["signals"]]
    assert said == mapped(own_N).tolist()
    assert len(asked) == 1


def test_rows_by_name_are_the_same_rows_in_any_order(server, deployed, found):
    names_F = deployed.feature_names("EURUSD")
    rows = [dict(reversed(list(zip(names_F, row, strict=True)))) for row in found.x_NF.tolist()]
    by_name = server.ask(PATH, {"named_features": [one | {"other": 1} for one in rows[:50]]})
    assert by_name == server.ask(PATH, {"features": found.x_NF[:50].tolist()})


@pytest.mark.parametrize("n", [-10, -40, -200])
def test_bars_become_the_row_of_the_training_table_and_its_probability(server, deployed, found, n):
    made = deployed.definition("EURUSD")
    parts = {"features": made.features, "events": made.events, "labels": made.labels}
    rows = build_event_table(market(), **parts)
    row = int(np.flatnonzero(rows.t0_N == found.t0_N[n])[0])
    status, answer = server.ask(PATH, {"frames": {"1h": frame(at_event(n, found))}})
    assert status == 200
    assert answer["features"] == rows.x_NF[row].tolist()
    assert answer["signals"][0]["probability"] == found.p_win_N[n]


def test_a_bar_that_has_not_closed_is_left_out_and_no_event_is_hold(server, found):
    bars = market()
    first = int(np.searchsorted(bars.close_time_T, found.t0_N[-3]))
    now = int(bars.close_time_T[first + 1].astype("datetime64[s]").astype(int))
    question = {"frames": {"1h": frame(bars.until(first + 3))}, "now": now}
    _, answer = server.ask(PATH, question)
    signal = answer["signals"][0]
    assert (signal["action"], signal["direction"], signal["probability"]) == ("HOLD", None, None)
    assert answer["age_s"] == 0
    assert all(one["probabilities"] is None and one["reason"] for one in answer["candidates"])


def test_of_several_frames_the_models_own_is_read(server, found):
    own = frame(at_event(-1, found))
    other = {name: column[:3] for name, column in own.items()}
    alone = server.ask(PATH, {"frames": {"60m": own}, "now": 4_000_000_000})[1]
    among = server.ask(PATH, {"frames": {"5m": other, "60m": own}, "now": 4_000_000_000})[1]
    assert alone == among
    assert among["frame"] == "60m"


def test_buy_and_sell_follow_threshold_and_direction(server, deployed, found):
    _, answer = server.ask(PATH, {"features": found.x_NF[-200:].tolist()})
    taken_N = found.p_win_N[-200:] >= deployed.threshold("EURUSD")
    sides = {1: "BUY", -1: "SELL"}
    directions = found.direction_N[-200:].tolist()
    expected = [sides[d] if t else "HOLD" for d, t in zip(directions, taken_N, strict=True)]
    assert [one["action"] for one in answer["signals"]] == expected
    assert {"BUY", "SELL", "HOLD"} == set(expected)


def test_every_member_of_the_council_says_what_its_saved_model_says(server, councils, found):
    _, answer = server.ask(PATH, {"features": found.x_NF[-50:].tolist()})
    root = next((councils / "artifacts" / "EURUSD").iterdir())
    members = {one["model"]: one for one in answer["candidates"] if one["role"] == "member"}
    assert list(members) == list(load_model(root).members)
    clip = load_model(root).clip
    for name, one in members.items():
        expected_N = load_model(root / name).predict_proba(found.x_NF[-50:])[:, 1]
        kept_N = np.clip(expected_N, clip, 1 - clip)
        np.testing.assert_allclose(one["probabilities"], kept_N, rtol=0, atol=1e-6)


def test_a_candidate_that_is_not_deployed_is_named_with_the_reason(server, found):
    _, answer = server.ask(PATH, {"features": found.x_NF[-1:].tolist()})
    forest = next(one for one in answer["candidates"] if one["model"] == "RandomForest")
    assert forest["role"] == "candidate"
    assert forest["probabilities"] is None
    assert forest["reason"].startswith("not deployed")


def test_a_symbol_without_a_model_holds_with_the_manifests_reason(server, deployed, found):
    reason = deployed.selection("GBPUSD")["reason"]
    for question in ({"features": [[1.0] * 57]}, {"frames": {"1h": frame(market().until(5))}}):
        status, answer = server.ask("/v1/entries/GBPUSD", question)
        assert status == 200
        assert answer["signals"][0]["action"] == "HOLD"
        assert answer["signals"][0]["reason"] == f"no model: {reason}"


def test_a_batch_answers_each_symbol_as_it_is_answered_alone(server, found):
    question = {"features": found.x_NF[-2:].tolist()}
    symbols = ("EURUSD", "GBPUSD")
    entries = dict.fromkeys(symbols, question) | {"EURUSDD": question}
    status, answer = server.ask("/v1/entries", {"entries": entries})
    assert status == 200
    for name in symbols:
        assert answer["entries"][name] == server.ask(f"/v1/entries/{name}", question)[1]
    problem = answer["entries"]["EURUSDD"]["problem"]
    assert (problem["status"], problem["field"]) == (404, "entries.EURUSDD")
    assert "did you mean EURUSD?" in problem["detail"]


def test_a_model_that_looks_back_is_asked_with_the_events_before(lstm):
    deployed = DeployedModels.from_manifest(lstm)
    x_NF = np.random.default_rng(0).normal(size=(20, len(deployed.feature_names("EURUSD"))))
    x_NF[:, deployed.feature_names("EURUSD").index("TBM_Entry")] = 1
    with served(lstm) as server:
        back = server.ready().http.get("/v1/models").json()["symbols"]["EURUSD"]["lookback_rows"]
        before, row = x_NF[-1 - back : -1], x_NF[-1:]
        asked = {"features": row.tolist(), "context": before.tolist()}
        status, answer = server.ask(PATH, asked)
        short, why = server.ask(PATH, asked | {"context": before[1:].tolist()})
    expected = deployed.predict_proba("EURUSD", row, before)[0, 1]
    assert (status, answer["signals"][0]["probability"]) == (200, expected)
    assert (short, why["field"]) == (409, "context")


def test_rows_and_bars_are_judged_by_one_rule(server, deployed, found):
    taken_N = found.p_win_N >= deployed.threshold("EURUSD")
    actions = set()
    for n in (np.flatnonzero(taken_N)[-1], np.flatnonzero(~taken_N)[-1]):
        _, by_rows = server.ask(PATH, {"features": found.x_NF[n : n + 1].tolist()})
        _, by_bars = server.ask(PATH, {"frames": {"1h": frame(at_event(n, found))}})
        assert by_bars["signals"] == by_rows["signals"]
        actions.add(by_rows["signals"][0]["action"])
    assert len(actions) == 2


def test_a_trade_is_taken_at_the_threshold_and_not_below():
    assert judged(-1, 0.5, 0.5) == Signal("SELL", None, -1, 0.5)
    assert judged(1, np.nextafter(0.5, 0), 0.5).action == "HOLD"
    assert judged(1, np.nan, 0.5).action == "HOLD"


@pytest.fixture
def recalibrated(manifest, found):
    """The councils with a live calibration that has read the outcomes until the 100th last."""
    document = json.loads(manifest.read_text())
    until = f"{found.t0_N[-100].astype('datetime64[s]')}+00:00"
    read = {"fitted_from": "2010-01-01T00:00:00+00:00", "fitted_until": until, "rows": 60}
    numbers = {"kind": "platt", "slope": 0.5, "intercept": -0.2, "scope": "pooled"}
    scores = {"log_loss": {"before": 0.7, "after": 0.69}}
    document["selections"]["EURUSD"]["live_calibration"] = {**numbers, **read, **scores}
    write_bytes_atomically(manifest, json.dumps(document).encode())
    return load_manifest(manifest)


def asked_with(found, n, form):
    if form == "rows":
        return entry_question({"features": found.x_NF[n : n + 1].tolist()})
    now = int(found.t0_N[n].astype("datetime64[s]").astype(int))
    return entry_question({"frames": {"1h": frame(at_event(n, found))}, "now": now})


@pytest.mark.parametrize(
    ("form", "n", "scope"),
    [("rows", -10, "pooled"), ("bars", -10, "pooled"), ("bars", -100, "pooled"),
     ("bars", -101, None)],
)  # fmt: skip
def test_calibrated_says_whether_the_probability_is_and_candidates_never_are(
    recalibrated, found, form, n, scope
):
    answer = entry_answer(recalibrated, "EURUSD", asked_with(found, n, form))
    own_1 = found.p_win_N[n : n + 1]
    expected_1 = own_1 if scope is None else Calibration.platt(0.5, -0.2)(log_odds(own_1))
    assert answer["calibrated"] == scope
    assert answer["signals"][0]["probability"] == pytest.approx(expected_1[0], abs=1e-6)
    assert answer["candidates"][0]["probabilities"] == pytest.approx([own_1[0]], abs=1e-6)


def test_bars_as_long_as_a_month_are_no_reason_to_refuse_a_manifest(manifest):
    document = json.loads(manifest.read_text())
    features = document["selections"]["EURUSD"]["features"]
    features["definition"]["bar_length_s"] = 30 * 86_400
    write_bytes_atomically(manifest, json.dumps(document).encode())
    assert load_manifest(manifest).symbols["EURUSD"].bars_read() == "30d"
