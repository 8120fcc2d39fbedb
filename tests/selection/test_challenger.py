import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.challenger import challenged, verdicts
from selection.challenger_state import (
    ChallengerState,
    ChallengerStateError,
    challenger_folder,
    changed,
    files_digest,
    new_folder,
    put_back,
    read_state,
    write_state,
)
from selection.challenges import Challenges, Judged
from selection.holdout_ledger import REAL_MARKET
from tests.selection.drawn_rows import irregular, rows_of

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SHA = "a" * 64
SEEDS = st.integers(0, 2**32 - 1)


def of_skill(skill, other=0.0, n_rows=400, seed=0):
    """Return what two models say of the same rows, each as informed as told."""
    rng = np.random.default_rng(seed)
    y_N = rng.integers(0, 2, n_rows)
    said = [
        1 / (1 + np.exp(-one * (2 * y_N - 1) - rng.standard_normal(n_rows) * 0.3))
        for one in (skill, other)
    ]
    return tuple(rows_of(y_N, p_N, n_blocks=1) for p_N in said)


def judge(*pairs, alpha=0.05):
    named = {f"S{n}": challenged(*pair) for n, pair in enumerate(pairs)}
    return list(verdicts(named, alpha).values())


def test_a_challenger_that_knows_more_takes_the_place():
    (said,) = judge(of_skill(0.4))
    assert said.adopted
    assert said.reason.startswith("Better on 400 later events (400 without overlap): p = ")


def test_one_that_knows_something_but_no_more_than_the_champion_does_not():
    (said,) = judge(of_skill(0.4, 0.4))
    assert not said.adopted
    assert said.reason.startswith("Not better than the champion on 400 later events")


def test_one_that_knows_nothing_does_not_even_against_a_champion_that_is_worse():
    challenger, champion = of_skill(0.0, -0.4)
    (said,) = judge((challenger, champion))
    assert challenged(challenger, champion).ahead.p_value < 0.01
    assert not said.adopted
    assert said.reason.startswith("No evidence of its own")


def test_where_no_model_is_deployed_its_own_evidence_decides():
    (said,) = judge((of_skill(0.4)[0], None))
    assert said.adopted
    assert "champion" not in said.reason


def test_symbols_that_are_judged_together_share_the_chance_of_an_error():
    lucky = next(
        pair
        for pair in (of_skill(0.09, n_rows=300, seed=seed) for seed in range(99))
        if 0.01 < challenged(*pair).p_value < 0.04
    )
    assert judge(lucky)[0].adopted
    together = judge(lucky, *(of_skill(0.0, seed=seed) for seed in range(4)))
    assert not together[0].adopted
    assert together[0].family == 5
    assert together[0].reason.startswith("Not sure enough")


@given(SEEDS)
def test_a_challenger_that_says_what_the_champion_says_never_takes_the_place(seed):
    rows = irregular(seed, 60, 1)
    assert not judge((rows, rows))[0].adopted


def test_only_events_that_both_have_spoken_of_count():
    challenger, champion = of_skill(0.4)
    some = champion.at(champion.t0_N[100:])
    assert challenged(challenger, some).rows == 300


def test_two_outcomes_for_one_event_are_refused():
    challenger, champion = of_skill(0.4)
    other = replace(champion, y_N=1 - champion.y_N)
    with pytest.raises(ValueError, match="outcomes of champion and challenger differ"):
        challenged(challenger, other)


def test_without_events_nobody_wins():
    none = of_skill(0.4)[0].at(np.array([], dtype="datetime64[s]"))
    assert challenged(none, none).p_value == 1


def judgement(symbol="EURUSD", challenger=SHA, day=2, **changes):
    facts = {
        "symbol": symbol,
        "market": REAL_MARKET,
        "challenger_sha256": challenger,
        "champion": "b" * 64,
        "from_utc": NOON,
        "until_utc": NOON.replace(day=day),
        "rows": 40,
        "effective_rows": 31.5,
        "log_loss": 0.6,
        "champion_log_loss": 0.7,
        "gain": 0.1,
        "standard_error": 0.02,
        "p_evidence": 0.01,
        "p_advantage": 0.02,
        "p_adjusted": 0.02,
        "family": 1,
        "alpha": 0.05,
        "adopted": True,
        "reason": "Better",
        "time_utc": NOON,
    }
    return Judged(**{**facts, **changes})


def test_a_ledger_tells_who_was_judged_and_up_to_when_events_are_used(tmp_path):
    ledger = Challenges(tmp_path / "deploy" / "manifest.json")
    assert (ledger.recorded(), ledger.used_until("EURUSD", REAL_MARKET)) == ([], None)
    ledger.record([judgement(day=5), judgement("GBPUSD", day=9)])
    ledger.record([judgement(challenger="c" * 64, day=3)])
    assert ledger.used_until("EURUSD", REAL_MARKET) == NOON.replace(day=5)
    assert ledger.of("EURUSD", SHA) == judgement(day=5)
    assert ledger.of("EURUSD", "d" * 64) is None
    assert len(ledger.recorded()) == 3


def test_events_of_one_market_are_not_used_by_judgements_on_another(tmp_path):
    ledger = Challenges(tmp_path / "manifest.json")
    ledger.record([judgement(market="simulated, seed 7", day=9), judgement(day=5)])
    assert ledger.used_until("EURUSD", REAL_MARKET) == NOON.replace(day=5)
    assert ledger.used_until("EURUSD", "simulated, seed 8") is None


def test_judgements_of_another_record_are_taken_over_once(tmp_path):
    there, here = (Challenges(tmp_path / name / "manifest.json") for name in ("there", "here"))
    there.record([judgement(), judgement("GBPUSD")])
    here.record([judgement("GBPUSD")])
    assert here.take_over(there.recorded()) == 1
    assert here.take_over(there.recorded()) == 0
    assert [one.symbol for one in here.recorded()] == ["GBPUSD", "EURUSD"]


def test_a_state_that_is_put_back_is_what_it_was(tmp_path):
    live = tmp_path / "manifest.json"
    write_state(live, state(status="training"))
    put_back(live, "EURUSD", state())
    assert read_state(live, "EURUSD") == state()
    put_back(live, "EURUSD", None)
    assert read_state(live, "EURUSD") is None


def test_a_line_that_a_crash_cut_short_is_no_judgement_and_the_next_is_one(tmp_path):
    ledger = Challenges(tmp_path / "manifest.json")
    ledger.record([judgement()])
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + whole[:40])
    assert ledger.recorded() == [judgement()]
    ledger.record([judgement("GBPUSD")])
    assert [one.symbol for one in ledger.recorded()] == ["EURUSD", "GBPUSD"]


@pytest.mark.parametrize("line", ['{"judged": [{}]}', '{"judged": 3}', "[]", '{"other": 1}'])
def test_any_other_line_that_cannot_be_read_is_an_error(tmp_path, line):
    ledger = Challenges(tmp_path / "manifest.json")
    ledger.path.write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"line 1: is no judgement .* would pass for unread"):
        ledger.recorded()


def state(**changes):
    facts = {"symbol": "EURUSD", "status": "waiting", "reason": "Trained", "manifest_sha256": SHA}
    times = {"trained_until": NOON, "changed_utc": NOON, "folder": new_folder(NOON)}
    return ChallengerState(**{**facts, **times, **changes})


def test_a_state_is_read_as_it_was_written(tmp_path):
    live = tmp_path / "manifest.json"
    assert read_state(live, "EURUSD") is None
    write_state(live, state(alarm=NOON, champion=SHA))
    assert read_state(live, "EURUSD") == state(alarm=NOON, champion=SHA)
    assert changed(state(), NOON, status="adopted").status == "adopted"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda held: "{", "is not JSON"),
        (lambda held: json.dumps(held | {"status": "lost"}), "status: Input should be"),
        (lambda held: json.dumps(held | {"trained_until": "2026-01-02"}), "trained_until"),
        (lambda held: json.dumps(held | {"more": 1}), "more: Extra"),
        (lambda held: json.dumps(held | {"folder": "../../elsewhere"}), "folder: String should"),
    ],
)
def test_a_state_that_is_none_is_one_line_that_says_what_to_do(tmp_path, spoil, said):
    live = tmp_path / "manifest.json"
    write_state(live, state())
    path = challenger_folder(live, "EURUSD") / "challenger.json"
    path.write_text(spoil(json.loads(path.read_text())))
    with pytest.raises(ChallengerStateError, match=f"{said}.*remove the file"):
        read_state(live, "EURUSD")


def test_the_digest_of_a_models_files_is_that_of_its_files_alone():
    files = [{"path": "a/b", "sha256": SHA, "bytes": 3}]
    entry = {"selected_model": "MLP", "artifacts": files, "decision_threshold": 0.5}
    assert files_digest(entry) == files_digest({**entry, "decision_threshold": 0.6})
    assert files_digest(entry) != files_digest({**entry, "selected_model": "LSTM"})
    other = [{**files[0], "sha256": "b" * 64}]
    assert files_digest(entry) != files_digest({**entry, "artifacts": other})
    assert files_digest({"selected_model": None}) is None
