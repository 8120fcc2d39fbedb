"""The ladder: who is asked, who answered, and that no fall goes unseen."""

import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exits.ladder import (
    CannotAnswer,
    Ladder,
    LadderError,
    LocalNeuralNetwork,
    TableDefaults,
    Unavailable,
)
from exits.parameters import INDEX, ParameterError, defaults
from exits.policy import Asked
from tests.exits.exit_models import model, rows

MODEL = model()
NOON = np.datetime64("2024-01-05T12:00", "us")


def asked(n, seed=1):
    return [
        Asked(
            symbol=f"S{k}",
            number=k,
            bar=9,
            time=NOON,
            side=1,
            atr=0.5 + k,
            r=0.0,
            in_force_P=None,
            state_F=state_F,
        )
        for k, state_F in enumerate(rows(n, seed))
    ]


class Some:
    """A rung that answers for some symbols, with its own value of one parameter."""

    gap = "knows others alone"

    def __init__(self, name, symbols, stop_mult=3.0):
        self.name, self.symbols, self.stop_mult = name, symbols, stop_mult
        self.seen = []

    def answer(self, asked):
        self.seen += [one.symbol for one in asked]
        if not any(one.symbol in self.symbols for one in asked):
            raise CannotAnswer("knows none of them")
        values_KP = defaults(np.array([one.atr for one in asked]))
        values_KP[:, INDEX["stop_mult"]] = self.stop_mult
        values_KP[[one.symbol not in self.symbols for one in asked], 7] = np.nan
        return values_KP


def test_the_local_net_answers_what_its_model_decides():
    ladder = Ladder([LocalNeuralNetwork(MODEL), TableDefaults()])
    decided = ladder.decide(asked(5))
    expected_KP = MODEL.decide(rows(5), 0.5 + np.arange(5))
    np.testing.assert_array_equal(decided.values_KP, expected_KP)
    assert decided.sources == ("local_neural_network",) * 5
    assert ladder.falls == {}


@given(st.lists(st.sets(st.integers(0, 5)), max_size=4), st.integers(0, 6))
def test_each_decision_is_the_first_rungs_that_has_one_and_no_lower_rung_is_asked(known, n):
    rungs = [
        Some(f"rung {i}", {f"S{k}" for k in some}, 2.5 + 0.5 * i) for i, some in enumerate(known)
    ]
    decided = Ladder([*rungs, TableDefaults()]).decide(asked(n))
    for k in range(n):
        first = next((i for i, some in enumerate(known) if k in some), None)
        source, stop_mult = (
            ("defaults", 3.6) if first is None else (f"rung {first}", 2.5 + first / 2)
        )
        assert decided.sources[k] == source
        assert decided.values_KP[k, INDEX["stop_mult"]] == stop_mult
        assert decided.values_KP[k, INDEX["current_atr"]] == 0.5 + k
        asked_of = [i for i, rung in enumerate(rungs) if f"S{k}" in rung.seen]
        assert asked_of == list(range(len(known) if first is None else first + 1))
    assert np.isfinite(decided.values_KP).all()


def test_a_row_without_a_finite_answer_falls_alone():
    many = asked(4)
    many[2].state_F[0] = np.nan
    ladder = Ladder([LocalNeuralNetwork(MODEL), TableDefaults()])
    decided = ladder.decide(many)
    assert decided.sources == (*["local_neural_network"] * 2, "defaults", "local_neural_network")
    np.testing.assert_array_equal(decided.values_KP[2], defaults(2.5))
    assert ladder.falls == {"local_neural_network: its answer is not finite": 1}


def test_falls_are_counted_by_cause_and_each_cause_is_logged_once(caplog):
    caplog.set_level(logging.WARNING)
    ladder = Ladder(
        [
            Unavailable("local_neural_network", "m: is missing"),
            Some("some", {"S1"}),
            TableDefaults(),
        ]
    )
    for n in (3, 1, 2):
        ladder.decide(asked(n))
    assert ladder.falls == {
        "local_neural_network: m: is missing": 6,
        "some: knows others alone": 3,
        "some: knows none of them": 1,
    }
    assert [record.message for record in caplog.records] == [
        "exits fall from local_neural_network to some: m: is missing",
        "exits fall from some to defaults: knows others alone",
        "exits fall from some to defaults: knows none of them",
    ]


def test_a_required_rung_that_could_not_be_built_is_refused_at_once():
    with pytest.raises(LadderError) as refused:
        Ladder(
            [Unavailable("local_neural_network", "m: is missing"), TableDefaults()],
            require="local_neural_network",
        )
    assert str(refused.value) == (
        "exits.require=local_neural_network, and it has no answer: m: is missing; mend that, or go "
        "on with the next rung by exits.require=null"
    )


def test_a_required_rung_may_not_leave_a_single_row_over_but_those_above_it_may():
    upper, lower = Some("upper", {"S0"}), Some("lower", {"S1", "S2"})
    ladder = Ladder([upper, lower, TableDefaults()], require="lower")
    assert ladder.decide(asked(3)).sources == ("upper", "lower", "lower")
    with pytest.raises(LadderError, match="require=lower, and it has no answer: knows others"):
        ladder.decide(asked(4))
    with pytest.raises(LadderError, match="knows none"):
        ladder.decide(asked(6)[4:])


def test_what_the_user_sets_holds_whoever_decides():
    ladder = Ladder([Some("some", {"S0"}), TableDefaults()], parameters={"stop_mult": 4.5})
    plain = Ladder([Some("some", {"S0"}), TableDefaults()])
    found_KP, plain_KP = (one.decide(asked(2)).values_KP for one in (ladder, plain))
    assert found_KP[:, INDEX["stop_mult"]].tolist() == [4.5, 4.5]
    others = np.arange(132) != INDEX["stop_mult"]
    assert (found_KP == plain_KP)[:, others].all()
    with pytest.raises(ParameterError, match="did you mean stop_mult"):
        Ladder([TableDefaults()], parameters={"stop_mul": 3.0})


def test_a_ladder_without_an_end_says_so():
    with pytest.raises(LadderError, match="end the ladder with defaults"):
        Ladder([Some("some", set())]).decide(asked(1))
    with pytest.raises(ValueError, match="require must be one of defaults, was local"):
        Ladder([TableDefaults()], require="local")
    with pytest.raises(ValueError, match="require must be one of some rungs"):
        Ladder([])


def test_a_model_with_hindsight_is_no_rung():
    with pytest.raises(ValueError, match="hindsight"):
        LocalNeuralNetwork(model(hindsight=True))
