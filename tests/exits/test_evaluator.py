import dataclasses
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given

from exits.evaluator import ExitEvaluator, PositionState
from exits.rules.evaluator_table import EXIT_FACTORS, FACTORS, HOLD_FACTORS

CONF = Path(__file__).parents[2] / "conf" / "evaluator"
TABLE = yaml.safe_load((CONF / "points.yaml").read_text(encoding="utf-8"))
del TABLE["kind"]
EVALUATOR = ExitEvaluator(**TABLE)

# Speaks for nothing but its regime, which is always either.
PLAIN = PositionState(
    regime_changed=False,
    atr_ratio=1.0,
    momentum_atr=0.0,
    entry_confidence=0.5,
    age_bars=20,
    r=0.3,
    peak_r=0.4,
)
# 3 points for an exit, and 3 for holding: a part of 0.35 is due.
DUE = dataclasses.replace(PLAIN, atr_ratio=0.8, entry_confidence=0.7)
# 5 points for an exit, and 3 for holding.
DUE_MORE = dataclasses.replace(PLAIN, regime_changed=True, momentum_atr=1.0, entry_confidence=0.7)
# What turns a factor on and off, everything else left alone.
SIDES = {
    "regime_intact": ({"regime_changed": False}, {"regime_changed": True}),
    "volatility_expanding": ({"atr_ratio": 1.2}, {"atr_ratio": 1.0}),
    "momentum_with": ({"momentum_atr": 0.5}, {"momentum_atr": 0.49}),
    "confidence_high": ({"entry_confidence": 0.65}, {"entry_confidence": 0.64}),
    "fresh": ({"age_bars": 6}, {"age_bars": 7}),
    "near_peak": ({"r": 1.9, "peak_r": 2.0}, {"r": 1.7, "peak_r": 2.0}),
    "regime_changed": ({"regime_changed": True}, {"regime_changed": False}),
    "volatility_contracting": ({"atr_ratio": 0.8}, {"atr_ratio": 1.0}),
    "confidence_degraded": ({"latest_confidence": 0.3}, {"latest_confidence": 0.5}),
    "old": ({"age_bars": 48}, {"age_bars": 47}),
    "off_peak": ({"r": 1.0, "peak_r": 2.0}, {"r": 1.1, "peak_r": 2.0}),
    "r_tier_1": ({"r": 8.1, "peak_r": 10.0}, {"r": 8.0, "peak_r": 10.0}),
    "r_tier_2": ({"r": 5.1, "peak_r": 6.5}, {"r": 5.0, "peak_r": 6.5}),
    "r_tier_3": ({"r": 3.1, "peak_r": 4.0}, {"r": 3.0, "peak_r": 4.0}),
    "r_tier_4": ({"r": 2.1, "peak_r": 2.6}, {"r": 2.0, "peak_r": 2.6}),
}


@st.composite
def states(draw, **fixed):
    peak_r = draw(st.floats(0, 12))
    drawn = {
        "regime_changed": draw(st.booleans()),
        "atr_ratio": draw(st.floats(0.5, 2.0)),
        "momentum_atr": draw(st.floats(-3, 3) | st.just(float("nan"))),
        "entry_confidence": draw(st.floats(0.5, 1.0)),
        "latest_confidence": draw(st.none() | st.floats(0, 1)),
        "age_bars": draw(st.integers(1, 90)),
        "r": draw(st.floats(-1.5, peak_r)),
        "peak_r": peak_r,
        "bars_since_partial": draw(st.none() | st.integers(0, 30)),
        "share_left": draw(st.floats(0.05, 1.0)),
    }
    return PositionState(**(drawn | fixed))


def with_(state, **changes):
    return dataclasses.replace(state, **changes)


def changed(**keys):
    return TABLE | keys


def names(evaluation):
    return {words.rpartition(":")[0] for words in evaluation.factors}


def backgrounds():
    """States around which one factor is turned on and off."""
    for regime_changed in (False, True):
        for momentum_atr in (0.0, 1.0):
            for atr_ratio in (0.8, 1.0, 1.2):
                for latest in (None, 0.3):
                    yield with_(
                        PLAIN,
                        regime_changed=regime_changed,
                        momentum_atr=momentum_atr,
                        atr_ratio=atr_ratio,
                        latest_confidence=latest,
                    )


@pytest.mark.parametrize("factor", FACTORS)
def test_every_factor_alone_decides_somewhere(factor):
    present, absent = SIDES[factor]
    differing = []
    for state in backgrounds():
        on = EVALUATOR.evaluate(with_(state, **present))
        off = EVALUATOR.evaluate(with_(state, **absent))
        # The regime is one of a pair of factors, and tiers follow each other.
        assert len(names(on) - names(off)) == 1
        differing.append((on.action, on.fraction) != (off.action, off.fraction))
    assert any(differing)


@pytest.mark.parametrize("factor", FACTORS)
def test_every_factor_speaks_for_its_own_side(factor):
    present, absent = SIDES[factor]
    on = EVALUATOR.evaluate(with_(PLAIN, **present))
    off = EVALUATOR.evaluate(with_(PLAIN, **absent))
    leaning = (on.exit - on.hold) - (off.exit - off.hold)
    assert leaning < 0 if factor in HOLD_FACTORS else leaning > 0


def test_a_winner_can_be_closed_and_a_loser_held():
    winner = with_(PLAIN, regime_changed=True, r=2.5, peak_r=2.6)
    loser = with_(PLAIN, momentum_atr=0.6, r=-0.4, peak_r=0.2)
    assert EVALUATOR.evaluate(winner).action == "CLOSE"
    assert EVALUATOR.evaluate(loser).action == "HOLD"


@given(states())
def test_a_factor_and_its_contrary_never_both_count_and_points_add_up(state):
    evaluation = EVALUATOR.evaluate(state)
    found = names(evaluation)
    for pair in (
        {"regime intact", "regime changed"},
        {"volatility expanding", "volatility contracting"},
        {"position fresh", "position old"},
        {"near its peak", "well off its peak"},
    ):
        assert not pair <= found
    assert sum(name.startswith("R >") for name in found) <= 1
    assert len(found & {"regime intact", "regime changed"}) == 1
    for side, points in (("holding", evaluation.hold), ("an exit", evaluation.exit)):
        counted = [w.rpartition(": ")[2] for w in evaluation.factors if w.endswith(side)]
        assert sum(float(words.split()[0]) for words in counted) == points


@given(states())
def test_the_action_follows_from_the_points_alone(state):
    evaluation = EVALUATOR.evaluate(state, min_share=0.05)
    difference = evaluation.exit - evaluation.hold
    if state.r > 8 or difference > 2:
        assert (evaluation.action, evaluation.fraction) == ("CLOSE", 1.0)
        return
    fraction = {-1: 0.25, 0: 0.35, 1: 0.45, 2: 0.55}.get(difference, 0.0)
    waits = state.bars_since_partial is not None and state.bars_since_partial < 12
    taken = fraction * state.share_left
    if fraction == 0 or waits or taken < 0.05 or state.share_left - taken < 0.05:
        assert (evaluation.action, evaluation.fraction) == ("HOLD", 0.0)
    else:
        assert (evaluation.action, evaluation.fraction) == ("PARTIAL_CLOSE", fraction)


@given(states(r=8.01, peak_r=9.0))
def test_above_8_r_a_position_is_closed_whatever_the_points(state):
    assert EVALUATOR.evaluate(state).action == "CLOSE"


@given(
    due=st.sampled_from([(DUE, 0.35), (DUE_MORE, 0.55)]),
    share_left=st.floats(0.01, 1.0),
    min_share=st.floats(0.01, 0.5),
)
def test_a_partial_that_takes_or_leaves_too_little_is_held(due, share_left, min_share):
    state, fraction = due
    evaluation = EVALUATOR.evaluate(with_(state, share_left=share_left), min_share=min_share)
    taken = fraction * share_left
    enough = taken >= min_share and share_left - taken >= min_share
    assert evaluation.action == ("PARTIAL_CLOSE" if enough else "HOLD")
    assert ("too small" in evaluation.reason) is not enough


def test_a_difference_between_whole_points_takes_the_lower_fraction():
    halves = ExitEvaluator(**changed(exit=TABLE["exit"] | {"volatility_contracting": 3.75}))
    assert EVALUATOR.evaluate(DUE).fraction == 0.35
    assert halves.evaluate(DUE).fraction == 0.35


def test_the_next_partial_waits_for_the_cooldown():
    ago = {n: EVALUATOR.evaluate(with_(DUE, bars_since_partial=n)) for n in (None, 1, 11, 12)}
    actions = [one.action for one in ago.values()]
    assert actions == ["PARTIAL_CLOSE", "HOLD", "HOLD", "PARTIAL_CLOSE"]
    assert "held, as the last one was 11 bars ago, less than 12" in ago[11].reason


def test_the_documented_example_is_what_the_rule_says():
    state = with_(PLAIN, atr_ratio=0.85, momentum_atr=0.1, entry_confidence=0.7, r=1.4, peak_r=2.6)
    partly = EVALUATOR.evaluate(state)
    assert (partly.hold, partly.exit) == (3, 3)
    assert (partly.action, partly.fraction) == ("PARTIAL_CLOSE", 0.35)
    closed = EVALUATOR.evaluate(with_(state, latest_confidence=0.4))
    assert (closed.hold, closed.exit, closed.action) == (3, 7, "CLOSE")
    page = (CONF.parents[1] / "docs" / "evaluator.md").read_text(encoding="utf-8")
    assert closed.reason in page
    assert closed.factors[0] in page


def test_the_documented_points_are_those_of_the_table():
    page = (CONF.parents[1] / "docs" / "evaluator.md").read_text(encoding="utf-8")
    for factor, points in (TABLE["hold"] | TABLE["exit"]).items():
        present = EVALUATOR.evaluate(with_(PLAIN, **SIDES[factor][0]))
        words = [one.partition(":")[0] for one in present.factors if f": {points:g} " in one]
        assert any(f"| {name} | {points:g} |" in page for name in words), factor
    assert "| R > 8, > 5, > 3, > 2 | 6, 4, 3, 1 |" in page


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            changed(hold=TABLE["hold"] | {"freshh": 1.0}),
            "hold.freshh: unknown factor, did you mean",
        ),
        (changed(exit={"old": 1.0}), "exit.regime_changed is missing"),
        (changed(exit=TABLE["exit"] | {"old": -1.0}), "exit.old must be at least 0, was -1.0"),
        (changed(r_above=[8.0, 5.0]), "r_above must hold 4 numbers"),
        (changed(r_above=[8.0, 5.0, 5.0, 2.0]), "r_above must fall"),
        (changed(fractions=[0.5, 0.4, 0.6, 0.7]), "fractions must not fall"),
        (changed(fractions=[0.0, 0.4, 0.6, 0.7]), r"fractions must be in \(0, 1\]"),
        (changed(partial_margin=2.0), "partial_margin must be below close_margin"),
        (changed(volatility_contracting_below=1.2), "volatility_contracting_below must be below"),
        (changed(old_bars=6), "fresh_bars must be below old_bars, they were 6 and 6"),
        (changed(off_peak_given_back=0.1), "near_peak_given_back must be below"),
        (changed(momentum_bars=0), "momentum_bars must be at least 1"),
        (changed(peak_min_r=0.0), "peak_min_r must be above 0"),
    ],
)
def test_a_table_that_cannot_be_is_refused(table, said):
    with pytest.raises(ValueError, match=said):
        ExitEvaluator(**table)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"age_bars": 0}, "age_bars"), ({"share_left": 0.0}, "share_left"), ({"r": 0.9}, "peak_r")],
)
def test_a_state_that_cannot_be_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        with_(PLAIN, **wrong)


def test_every_factor_of_the_design_has_its_points():
    assert set(TABLE["hold"]) == set(HOLD_FACTORS)
    assert set(TABLE["exit"]) == set(EXIT_FACTORS)
    assert EVALUATOR.table["points"][0].tolist() == [2, 1, 2, 1, 1, 1, 5, 3, 4, 3, 3, 6, 4, 3, 1]


def test_making_an_evaluator_compiles_nothing():
    code = "import sys, exits.evaluator; print('numba' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "False"
