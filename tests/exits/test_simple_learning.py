"""Simple learning: what a trade may move, what it may not, and its file."""

import json
import pickle
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exits.decision_rows import DecisionRows
from exits.feature_table import INDEX as COLUMN
from exits.feature_table import SCHEMA_DIGEST
from exits.ladder import Ladder, TableDefaults
from exits.parameters import INDEX, NAMES, defaults
from exits.simple_learning import (
    HIGH_B,
    LEARNT,
    LOW_B,
    Bucket,
    SimpleLearning,
    SimpleRung,
    learn_simple,
)
from exits.simple_learning_file import SimpleLearningError, load_simple, save_simple
from tests.exits.test_ladder import asked

START = np.datetime64("2024-01-01", "us")
HOUR = np.timedelta64(1, "h")
BEGIN_B = np.array(Bucket().values_B)
RANGE_B = HIGH_B - LOW_B
LEARNT_P = [INDEX[name] for name in LEARNT]

anything = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([np.nan, np.inf, -np.inf]))
trades = st.lists(
    st.tuples(st.lists(anything, min_size=12, max_size=12), st.floats(-20, 20)), max_size=25
)


def decision_rows(r_M, used_MB, *, exit_M=None, regime_M=None, session_M=None, symbol_M=None):
    """Return one trade after another, each with an entry and a later decision."""
    n = len(r_M)
    number_N = np.tile([0, 1], n)
    decided_NP = np.repeat(defaults(np.full(n, 2.0)), 2, axis=0)
    decided_NP[::2, LEARNT_P] = used_MB
    decided_NP[::2, -1] *= 2.0
    # What is decided later is no part of it.
    decided_NP[1::2] = 1.0
    entry_M = START + np.arange(n) * HOUR
    given = {
        "decided_NP": decided_NP,
        "trade_N": np.repeat(np.arange(n), 2),
        "number_N": number_N,
        "atr_N": np.full(2 * n, 2.0),
        "entry_time_M": entry_M,
        "exit_time_M": entry_M + 5 * HOUR if exit_M is None else exit_M,
        "policy_until_M": np.zeros(n, "datetime64[us]"),
        "r_M": np.asarray(r_M, float),
        "regime_M": np.zeros(n, int) if regime_M is None else np.asarray(regime_M),
        "session_M": np.ones(n, int) if session_M is None else np.asarray(session_M),
        "symbol_M": ("A",) * n if symbol_M is None else tuple(symbol_M),
    }
    return DecisionRows(**{one.name: given.get(one.name) for one in fields(DecisionRows)})


@given(trades)
def test_no_trade_moves_a_value_by_more_than_a_twentieth_of_its_range_or_out_of_it(taught):
    bucket = Bucket()
    for used_B, r in taught:
        before_B, bucket = np.array(bucket.values_B), bucket.after(np.array(used_B), r)
        moved_B = np.abs(np.array(bucket.values_B) - before_B)
        assert (moved_B <= 0.05 * RANGE_B * (1 + 1e-12)).all()
        assert ((bucket.values_B >= LOW_B) & (bucket.values_B <= HIGH_B)).all()
    assert bucket.trades == len(taught)
    assert bucket.mean_r == pytest.approx(np.mean([r for _, r in taught] or [0.0]), abs=1e-9)


@given(trades)
def test_values_stay_between_the_defaults_and_what_was_used(taught):
    bucket, low_B, high_B = Bucket(), BEGIN_B, BEGIN_B
    for used_B, r in taught:
        bucket = bucket.after(np.array(used_B), r)
        clipped_B = np.clip(np.where(np.isfinite(used_B), used_B, BEGIN_B), LOW_B, HIGH_B)
        low_B, high_B = np.minimum(low_B, clipped_B), np.maximum(high_B, clipped_B)
    assert (np.array(bucket.values_B) >= low_B - 1e-9).all()
    assert (np.array(bucket.values_B) <= high_B + 1e-9).all()


def test_a_better_trade_pulls_and_a_worse_one_moves_nothing_but_the_mean():
    first = Bucket().after(HIGH_B, 0.5)
    assert first.values_B == Bucket().values_B
    worse = first.after(HIGH_B, -0.5)
    assert (worse.values_B, worse.mean_r) == (Bucket().values_B, 0.0)
    better = worse.after(HIGH_B, 1.0)
    share = np.tanh(1.0) / 20
    np.testing.assert_allclose(better.values_B, BEGIN_B + share * (HIGH_B - BEGIN_B))
    assert better.weight == pytest.approx(np.tanh(1.0))


def test_parameters_that_do_better_are_found_and_those_that_do_not_matter_stay():
    rng = np.random.default_rng(4)
    used_MB = rng.uniform(LOW_B, HIGH_B, (3000, 12))
    unit_M = ((used_MB - LOW_B) / RANGE_B)[:, 0]
    r_M = 2.0 * unit_M + rng.normal(0, 1.0, 3000)
    bucket = learn_simple(decision_rows(r_M, used_MB)).buckets[0, 1]
    unit_B = (np.array(bucket.values_B) - LOW_B) / RANGE_B
    assert unit_B[0] > 0.6
    assert (np.abs(unit_B[1:] - 0.5) < 0.06).all()


def test_trades_teach_their_own_bucket_in_the_order_of_their_exits():
    r_M, used_MB = [1.0, 0.0, 2.0, 9.0], np.array([HIGH_B, LOW_B, HIGH_B, LOW_B])
    exit_M = START + np.array([7, 6, 8, 9]) * HOUR
    rows = decision_rows(r_M, used_MB, exit_M=exit_M, regime_M=[2, 2, 2, 5])
    found = learn_simple(rows)
    expected = Bucket().after(LOW_B, 0.0).after(HIGH_B, 1.0).after(HIGH_B, 2.0)
    assert set(found.buckets) == {(2, 1), (5, 1)}
    np.testing.assert_allclose(found.buckets[2, 1].values_B, expected.values_B)
    assert found.learnt_until == exit_M[3]


def test_trades_without_bucket_result_or_entry_are_left_out_and_counted():
    used_MB = np.tile(HIGH_B, (6, 1))
    exit_M = START + np.arange(6) * HOUR
    exit_M[4] = np.datetime64("NaT")
    rows = decision_rows(
        [0.0, np.nan, 1.0, 1.0, 1.0, 3.0],
        used_MB,
        exit_M=exit_M,
        regime_M=[0, 0, -1, 0, 0, 0],
        session_M=[1, 1, 1, 7, 1, 1],
    )
    rows.number_N[10] = 1
    found = learn_simple(rows)
    assert {key: one.trades for key, one in found.buckets.items()} == {(0, 1): 1}
    assert found.left_out == 5
    assert found.learnt_until == exit_M[0]


@given(st.permutations(range(8)))
def test_the_order_in_which_trades_are_given_does_not_matter(order):
    rng = np.random.default_rng(3)
    r_M, used_MB = rng.normal(size=8), rng.uniform(LOW_B, HIGH_B, (8, 12))
    # Three close at one moment, two of them of one symbol.
    exit_M = START + np.array([9, 9, 9, 1, 2, 3, 4, 5]) * HOUR
    symbol_M = np.array(list("AABCDEFG"))
    entry_M = np.array([START] * 8)
    found = []
    for places in (list(range(8)), order):
        rows = decision_rows(
            r_M[places], used_MB[places], exit_M=exit_M[places], symbol_M=symbol_M[places]
        )
        rows.entry_time_M[:] = entry_M
        found.append(learn_simple(rows))
    assert found[0] == found[1]


def test_an_unknown_atr_leaves_its_ratio_alone():
    rows = decision_rows([0.0, 5.0], np.tile(HIGH_B, (2, 1)))
    rows.atr_N[:] = np.nan
    values_B = learn_simple(rows).buckets[0, 1].values_B
    assert values_B[-1] == 1.0
    assert (np.array(values_B[:-1]) > BEGIN_B[:-1]).all()


def one_bucket(used_B=HIGH_B):
    bucket = Bucket().after(used_B, 0.0).after(used_B, 3.0)
    return SimpleLearning(buckets={(2, 0): bucket}, learnt_until=START, left_out=4)


def test_the_rung_answers_for_buckets_it_knows_and_leaves_the_rest():
    many = asked(5)
    for one, codes in zip(many, [(2, 0), (2, 1), (6, 0), (2, 3), (-1, 0)], strict=True):
        one.state_F[[COLUMN["regime"], COLUMN["session"]]] = codes
    ladder = Ladder([SimpleRung(one_bucket()), TableDefaults()])
    decided = ladder.decide(many)
    assert decided.sources == ("simple_learning", *["defaults"] * 4)
    assert ladder.falls == {
        "simple_learning: no trade has closed yet in that regime and session": 4
    }
    found_P, values_B = decided.values_KP[0], one_bucket().buckets[2, 0].values_B
    assert found_P[INDEX["stop_mult"]] == values_B[0]
    assert found_P[INDEX["current_atr"]] == values_B[-1] * many[0].atr
    assert found_P[INDEX["breakeven_threshold_ticks"]] == round(values_B[1])
    rest = [name not in LEARNT for name in NAMES]
    assert (found_P[rest] == defaults(1.0)[rest]).all()


def test_the_rung_answers_again_as_before():
    rung, many = SimpleRung(one_bucket()), asked(2)
    for one in many:
        one.state_F[[COLUMN["regime"], COLUMN["session"]]] = (2, 0)
    np.testing.assert_array_equal(rung.answer(many), rung.answer(many))


def test_a_file_holds_what_was_learnt(tmp_path):
    for learning in (one_bucket(), learn_simple(decision_rows([], np.empty((0, 12))))):
        save_simple(tmp_path / "simple_learning.json", learning)
        found = load_simple(tmp_path / "simple_learning.json")
        assert found.buckets == learning.buckets
        assert found.left_out == learning.left_out
        assert str(found.learnt_until) == str(learning.learnt_until)


def put(key, value):
    return lambda document: document["buckets"][0].update({key: value})


def put_value(name, value):
    return lambda document: document["buckets"][0]["values"].update({name: value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(version=2), "version must be 1, was 2; learn again"),
        (lambda d: d.update(schema_digest="ab" * 32), "abababababab..., those of this version"),
        (lambda d: d.update(learnt_until="2024-01-01"), "learnt_until"),
        (lambda d: d.update(more=1), "more: "),
        (lambda d: d.pop("buckets"), "buckets: "),
        (lambda d: d["buckets"].append(d["buckets"][0]), "stands twice"),
        (put("regime", "SIDEWAYS"), "buckets.0.regime must be one of NORMAL, "),
        (put("trades", 0), "buckets.0: 0 trades of weight"),
        (put("weight", 3.5), "2 trades of weight 3.5 cannot be"),
        (put_value("stop_mult", 9.0), "buckets.0.values.stop_mult must be in [2.5, 5], was 9.0"),
        (put_value("max_stop_ticks", 9.0), "values.max_stop_ticks is none of those learnt"),
        (put_value("stop_mult", "3"), "buckets.0.values.stop_mult: "),
        (lambda d: d["buckets"][0]["values"].pop("stop_mult"), "stop_mult is missing"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused_by_its_key(tmp_path, change, said):
    path = tmp_path / "simple_learning.json"
    save_simple(path, one_bucket())
    document = json.loads(path.read_text())
    assert document["schema_digest"] == SCHEMA_DIGEST
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(SimpleLearningError) as refused:
        load_simple(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert said in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", pickle.dumps({}), b"\xff", b"NaN"])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "simple_learning.json"
    with pytest.raises(SimpleLearningError, match="is missing; learn again"):
        load_simple(path)
    path.write_bytes(content)
    with pytest.raises(SimpleLearningError, match=r"is not JSON|version must be 1|holds NaN"):
        load_simple(path)
