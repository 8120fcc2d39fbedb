import json
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from selection import DeployedModels, DeploymentError, promotion
from selection.challenges import Challenges
from selection.deploy_history import live_sha256, read_history
from selection.holdout_ledger import LEDGER, REAL_MARKET, HoldoutLedger, Opening
from selection.live_manifest import kept_manifests
from selection.manifest_diff import differences
from selection.promotion import earlier, named, promote, roll_back
from selection.signing import SigningKey, signature_name
from tests.selection.conftest import edited, weights_of
from tests.selection.keys import write_pair
from tests.selection.test_challenger import judgement
from tests.selection.test_deploy_history import ROOT, took_place
from tests.selection.test_manifest import NOON

KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from selection import promotion
left = int(sys.argv[1])

def counted(name):
    really = getattr(os, name)
    def call(*given, **more):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return really(*given, **more)
    setattr(os, name, call)

for name in ("fsync", "replace", "rename"):
    counted(name)
rest = {"reason": None, "public_key": None, "now_utc": datetime.now(UTC)}
if len(sys.argv) == 4:
    promotion.promote(Path(sys.argv[2]), Path(sys.argv[3]), **rest)
else:
    promotion.roll_back(Path(sys.argv[2]), None, **rest)
"""


def changed(path, name):
    """Write another manifest of the same models beside one; return its path."""
    manifest = json.loads(path.read_text())
    manifest["selections"]["USDJPY"]["reason"] = name
    other = path.with_name(f"{name}.json")
    other.write_text(json.dumps(manifest))
    return other


def promoted(source, live, hour=0, *, reason=None, public_key=None):
    now = NOON + timedelta(hours=hour)
    return promote(source, live, reason=reason, public_key=public_key, now_utc=now)


def rolled_back(live, to=None, *, reason=None, public_key=None):
    now = NOON + timedelta(days=1)
    return roll_back(live, to, reason=reason, public_key=public_key, now_utc=now)


@pytest.fixture
def live(tmp_path):
    return tmp_path / "live" / "deployment_manifest.json"


@pytest.fixture
def three(copied, live):
    """Three manifests that became live one after the other: their digests."""
    sources = [changed(copied, name) for name in ("one", "two", "three")]
    return [promoted(one, live, hour).sha256 for hour, one in enumerate(sources)]


def test_a_promoted_manifest_is_live_with_its_bytes_and_its_files(copied, live):
    swapped = promoted(copied, live, reason="passed review")
    assert live.read_bytes() == copied.read_bytes()
    assert DeployedModels.from_manifest(live).symbols == ["EURUSD", "GBPUSD"]
    assert (swapped.sha256, swapped.replaced_sha256) == (live_sha256(copied), None)
    (told,) = read_history(live).deployments
    assert (told.action, told.reason, told.run_id) == ("promote", "passed review", "r1")
    assert told.source == str(copied.resolve())


def test_the_openings_of_its_holdouts_go_along_each_once_before_it_is_live(
    copied, live, monkeypatch
):
    def opened(symbol, conf):
        times = {"start_utc": NOON, "end_utc": NOON + timedelta(days=90), "time_utc": NOON}
        told = {"conf_digest": conf, "data_digest": "d", "run_id": None, "model": "Council"}
        return Opening(symbol=symbol, market=REAL_MARKET, **times, **told)

    here, there = (HoldoutLedger(path.parent / LEDGER) for path in (live, copied))
    here.record(opened("EURUSD", "live"))
    made = [opened(symbol, "staging") for symbol in ("EURUSD", "USDJPY", "AUDUSD")]
    for one in made:
        there.record(one)
    known_when_live = []
    really = promotion.put_live

    def put_live(*given):
        known_when_live.extend(here.recorded())
        really(*given)

    monkeypatch.setattr(promotion, "put_live", put_live)
    promoted(copied, live)
    assert here.recorded() == known_when_live == [opened("EURUSD", "live"), *made[:2]]
    promoted(changed(copied, "other"), live, 1)
    assert len(here.recorded()) == 3


def test_judgements_of_challengers_go_along_with_the_manifest(copied, live):
    here, there = Challenges(live), Challenges(copied)
    there.record([judgement("EURUSD"), judgement("AUDUSD")])
    promoted(copied, live)
    assert [one.symbol for one in here.recorded()] == ["EURUSD"]


def test_a_record_of_judgements_that_cannot_be_read_is_refused(copied, live):
    Challenges(copied).path.write_text("{}\n")
    with pytest.raises(DeploymentError, match="line 1: is no judgement"):
        promoted(copied, live)
    assert not live.exists()


def test_a_ledger_that_cannot_be_read_stops_a_promotion(copied, live):
    (copied.parent / LEDGER).write_text("no opening\n")
    with pytest.raises(DeploymentError, match=r"holdout_ledger\.jsonl, line 1: is no opening of"):
        promoted(copied, live)
    assert not live.exists()


def test_a_signature_goes_along_and_holds_after_every_change(copied, live, tmp_path):
    pytest.importorskip("model_signing")
    key = write_pair(tmp_path, "key")
    public = key.with_suffix(".pub")
    with pytest.raises(DeploymentError, match="is not signed"):
        promoted(copied, live, public_key=public)
    for source in (copied, changed(copied, "other")):
        place = source.parent / signature_name(source.read_bytes())
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(SigningKey(key).signature(source.read_bytes()))
        promoted(source, live, public_key=public)
        assert DeployedModels.from_manifest(live, public_key=public).symbols
    rolled_back(live, public_key=public)
    assert DeployedModels.from_manifest(live, public_key=public).symbols
    assert live.read_bytes() == copied.read_bytes()


def test_going_back_arrives_one_further_back_each_time(three, live):
    assert rolled_back(live).sha256 == three[1]
    assert rolled_back(live, reason="lost money").sha256 == three[0]
    with pytest.raises(DeploymentError, match="nothing is known to have been live before it"):
        rolled_back(live)
    assert took_place(live) == [*three, three[1], three[0]]
    last = read_history(live).deployments[-1]
    assert (last.action, last.reason, last.replaced_sha256) == ("rollback", "lost money", three[1])
    assert rolled_back(live, three[2][:8]).sha256 == live_sha256(live) == three[2]


def test_what_others_leave_among_the_earlier_manifests_is_passed_over(three, live):
    kept = kept_manifests(live)
    for name in ("notes-.json", "copy-441.json", f"x{kept[0].path.name}", "-.json"):
        (kept[0].path.parent / name).write_text("{}")
    assert kept_manifests(live) == kept
    assert rolled_back(live).sha256 == three[1]


def test_an_unsigned_manifest_is_not_asked_what_was_before_it(copied, live, tmp_path):
    pytest.importorskip("model_signing")
    promoted(copied, live)
    with pytest.raises(DeploymentError, match=r"deployment_manifest.json: is not signed"):
        rolled_back(live, public_key=write_pair(tmp_path, "key").with_suffix(".pub"))


def test_an_earlier_manifest_is_named_by_digest_or_time(three, live):
    for name in (three[0], three[0][:12], three[0][:6].upper(), "2024-01-02T12:00", "20240102T12"):
        assert earlier(live, name)[1].stem.endswith(three[0][:12])
    assert earlier(live, "2024-01-02 13:00:00")[1].stem.endswith(three[1][:12])


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("2024-01-02", r"could be any of several in .*; there are: [0-9a-f]{12} \(\d{8}T\d{6}Z\)"),
        ("0000000", "is not kept in"),
        ("x", "is not kept in"),
        ("2024", "is not kept in"),
        ("\x1b[2J", r"^\\x1b\[2J: is not kept in"),
        ("../live", "is not kept in"),
    ],
)
def test_a_name_that_fits_none_or_several_is_refused_with_those_there_are(
    three, live, name, finding
):
    with pytest.raises(DeploymentError, match=finding) as refused:
        earlier(live, name)
    assert str(refused.value).isprintable()
    assert took_place(live) == three


def test_nobody_goes_back_to_files_that_are_not_what_they_were(three, live):
    before = live.read_bytes()
    file = weights_of(live)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(
        DeploymentError, match=r"EURUSD: artifacts/EURUSD/\S+ has \d+ bytes, the ma"
    ):
        rolled_back(live)
    assert live.read_bytes() == before
    assert took_place(live) == three


def test_nobody_goes_back_to_a_manifest_that_was_changed(three, live):
    (kept,) = (one.path for one in kept_manifests(live) if three[1].startswith(one.sha256))
    kept.write_text(kept.read_text().replace("best", "good", 1))
    with pytest.raises(
        DeploymentError, match=r"its name says [0-9a-f]{12}: it was changed, restore"
    ):
        rolled_back(live)
    kept.unlink()
    with pytest.raises(
        DeploymentError, match=f"{three[1]}: is not kept in .*; there are: {three[0][:12]}"
    ):
        rolled_back(live)


def without_weights(path):
    weights_of(path).unlink()


def elsewhere(path):
    def move(one):
        for entry in one["artifacts"]:
            entry["path"] = entry["path"].replace("artifacts/", "signatures/")

    edited(path, move)
    shutil.move(path.parent / "artifacts", path.parent / "signatures")


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (without_weights, "EURUSD: .* is missing"),
        (elsewhere, "lies outside artifacts/|is missing"),
        (lambda path: path.write_text("{"), "is not JSON"),
        (Path.unlink, "no such manifest"),
    ],
)
def test_what_does_not_verify_is_not_promoted(copied, live, spoil, finding):
    spoil(copied)
    with pytest.raises(DeploymentError, match=finding):
        promoted(copied, live)
    assert not live.exists()


def test_files_that_lie_where_others_belong_are_not_overwritten(copied, live):
    place = live.parent / weights_of(copied).relative_to(copied.parent)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"other")
    with pytest.raises(DeploymentError, match=r"has 5 bytes, .*; remove artifacts/EURUSD/.* again"):
        promoted(copied, live)
    assert place.read_bytes() == b"other"
    assert not live.exists()


def test_models_of_a_simulated_market_never_take_the_place_of_real_ones(copied, live):
    def of(name, simulated):
        path = changed(copied, name)
        manifest = json.loads(path.read_text())
        manifest["provenance"]["simulated"] = simulated
        path.write_text(json.dumps(manifest))
        return path

    promoted(of("simulated", True), live)
    promoted(of("real", False), live)
    for swap in (lambda: promoted(of("again", True), live), lambda: rolled_back(live)):
        with pytest.raises(DeploymentError, match="is of real data, and models of a simulated mar"):
            swap()


def test_what_is_live_is_not_made_live_again(three, live, copied):
    with pytest.raises(DeploymentError, match=f"{three[2][:12]} is live already"):
        promoted(copied.with_name("three.json"), live)
    assert took_place(live) == three


@pytest.mark.parametrize("action", ["promote", "rollback"])
def test_killed_anywhere_either_manifest_is_live_whole_and_the_history_tells_which(
    copied, live, action
):
    sources = [changed(copied, name) for name in ("one", "two", "three")]
    first, second = (promoted(one, live, hour).sha256 for hour, one in enumerate(sources[:2]))
    words = [str(sources[2]), str(live)] if action == "promote" else [str(live)]
    killed = 0
    for n in range(60):
        command = [sys.executable, "-c", KILLED, str(n), *words]
        code = subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode
        assert DeployedModels.from_manifest(live).symbols == ["EURUSD", "GBPUSD"]
        assert took_place(live)[-1] == live_sha256(live)
        if live_sha256(live) != second:
            break
        assert code == -signal.SIGKILL
        killed += 1
    assert killed >= 3
    if action == "rollback":
        assert live_sha256(live) == first
    assert rolled_back(live, second[:12]).sha256 == took_place(live)[-1] == second


def test_a_first_promotion_killed_anywhere_is_completed_by_the_next(copied, live):
    killed = 0
    while not live.exists():
        command = [sys.executable, "-c", KILLED, str(3 * killed), str(copied), str(live)]
        code = subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode
        assert code == -signal.SIGKILL or live.exists()
        assert live.exists() or took_place(live) == []
        killed += 1
    assert killed >= 5
    assert took_place(live) == [live_sha256(live)]
    assert DeployedModels.from_manifest(live).symbols == ["EURUSD", "GBPUSD"]


def test_a_difference_is_told_by_symbol_and_only_where_there_is_one(copied):
    other = changed(copied, "other")
    was, name = named(copied, "live")
    now, _ = named(copied, str(other))
    assert differences(was, was) == {}
    assert differences(was, now) == {"USDJPY": {"reason": ("No signal", "other")}}
    assert name == f"{copied} ({live_sha256(copied)[:12]})"
    now["selections"]["EURUSD"] |= {"decision_threshold": 0.6, "expected_accuracy": 0.7}
    now["selections"]["EURUSD"]["artifacts"][0]["sha256"] = "0" * 64
    del now["selections"]["GBPUSD"]
    found = differences(was, now)
    assert list(found["EURUSD"]) == ["artifacts", "decision_threshold", "expected_accuracy"]
    assert found["GBPUSD"]["selected_model"] == ("LSTM", None)
    assert found["GBPUSD"]["symbol"] == ("listed", None)
