import json
from datetime import timedelta

import pytest

from selection import DeployedModels, DeploymentError
from selection.amended import amend
from selection.deploy_history import live_sha256, read_history
from selection.manifest import validate_manifest
from selection.promotion import roll_back
from selection.signing import SigningKey, signature_name
from tests.selection.keys import write_pair
from tests.selection.test_manifest import NOON


def entry(live, symbol="EURUSD", **changes):
    return {**json.loads(live.read_text())["selections"][symbol], **changes}


def amended(live, changed=None, *, hour=1, key=None, expected=None, action="calibrate", **more):
    return amend(
        live,
        changed if changed is not None else {"EURUSD": entry(live, decision_threshold=0.61)},
        action=action,
        reason="EURUSD: calibrated on 60 outcomes",
        expected_sha256=expected or live_sha256(live),
        now_utc=NOON + timedelta(hours=hour),
        key=key,
        **more,
    )


def lines_of(live, symbol):
    """Return a symbol's entry as the lines of the file, the comma behind it left out."""
    text = live.read_text()
    start = text.index(f'\n    "{symbol}": {{')
    return text[start : text.index("\n    }", start)]


def test_only_the_changed_symbol_is_another_and_the_rest_stays_byte_for_byte(copied):
    amended(copied)  # as its own writer writes it
    before = {symbol: lines_of(copied, symbol) for symbol in ("EURUSD", "GBPUSD", "USDJPY")}
    amended(copied, {"EURUSD": entry(copied, decision_threshold=0.7)}, hour=2)
    after = {symbol: lines_of(copied, symbol) for symbol in before}
    assert [symbol for symbol in before if before[symbol] != after[symbol]] == ["EURUSD"]
    assert DeployedModels.from_manifest(copied).selection("EURUSD")["decision_threshold"] == 0.7
    validate_manifest(json.loads(copied.read_text()))


def test_what_was_changed_when_and_from_what_stands_in_provenance_and_history(copied):
    was = live_sha256(copied)
    swapped = amended(copied, provenance={"rows": 60})
    told = json.loads(copied.read_text())
    assert told["provenance"]["run_id"] == "r1"
    amendment = told["provenance"]["amended"]["EURUSD"]
    assert amendment.pop("timestamp").startswith("2")
    assert amendment == {"action": "calibrate", "rows": 60, "amended_manifest_sha256": was}
    assert (told["previous_manifest_sha256"], swapped.replaced_sha256) == (was, was)
    (*_, last) = read_history(copied).deployments
    assert (last.action, last.outcome, last.manifest_sha256) == (
        "calibrate",
        "live",
        swapped.sha256,
    )
    assert last.reason == "EURUSD: calibrated on 60 outcomes"


def test_a_rollback_brings_the_manifest_before_back(copied):
    was = copied.read_bytes()
    amended(copied, action="retrain")
    roll_back(copied, None, reason=None, public_key=None, now_utc=NOON + timedelta(days=1))
    assert copied.read_bytes() == was
    told = [one.action for one in read_history(copied).deployments]
    assert told == ["train", "retrain", "rollback"]


def test_a_change_made_for_another_manifest_is_refused(copied):
    was = live_sha256(copied)
    amended(copied)
    now = copied.read_bytes()
    with pytest.raises(DeploymentError, match=f"made for {was[:12]}.*run it again"):
        amended(copied, expected=was)
    assert copied.read_bytes() == now


def test_a_signed_manifest_needs_the_key_and_is_signed_again(copied, tmp_path):
    private = write_pair(tmp_path, "signing")
    public = private.with_suffix(".pub")
    amended(copied, key=SigningKey(private))
    with pytest.raises(DeploymentError, match=r"is signed.*signing_key"):
        amended(copied, {"EURUSD": entry(copied, decision_threshold=0.7)})
    amended(copied, {"EURUSD": entry(copied, decision_threshold=0.7)}, key=SigningKey(private))
    assert (copied.parent / signature_name(copied.read_bytes())).exists()
    loaded = DeployedModels.from_manifest(copied, public_key=public)
    assert loaded.selection("EURUSD")["decision_threshold"] == 0.7


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda live: {}, "nothing is changed"),
        (lambda live: {"EURNOK": entry(live)}, "holds no EURNOK; there are"),
        (lambda live: {"EURUSD": entry(live, decision_threshold=3)}, "would not be one any more"),
        (lambda live: {"EURUSD": entry(live, artifacts=[])}, "would not be one any more"),
    ],
)
def test_what_would_be_no_manifest_is_refused_and_nothing_replaced(copied, changed, said):
    was = copied.read_bytes()
    with pytest.raises(DeploymentError, match=said):
        amended(copied, changed(copied))
    assert copied.read_bytes() == was


def test_an_entry_whose_files_are_not_what_it_says_is_refused(copied):
    spoilt = entry(copied)
    spoilt["artifacts"] = [{**one, "sha256": "0" * 64} for one in spoilt["artifacts"]]
    with pytest.raises(DeploymentError, match="EURUSD"):
        amended(copied, {"EURUSD": spoilt})


def test_a_symbol_that_was_not_traded_can_be_given_a_model(copied):
    taken = {**entry(copied, "GBPUSD"), "reason": "found later"}
    amended(copied, {"GBPUSD": taken})
    none = {"selected_model": None, "reason": "gone", "action": "MANUAL_REVIEW_REQUIRED"}
    amended(copied, {"GBPUSD": none}, hour=2)
    told = json.loads(copied.read_text())
    assert told["summary"]["models_selected"] == 1
    assert set(told["provenance"]["amended"]) == {"GBPUSD"}
