"""What the data say of parameters where the error of the net has to tell."""

import dataclasses

import numpy as np
import pytest

from exits.credit import Credited
from exits.evidence import judge
from exits.exit_net import ExitNet
from exits.exit_net_training import Lessons
from exits.parameters import INDEX, N_PARAMETERS, defaults
from tests.exits.exit_models import layers
from tests.exits.lessons import ATR_P

STOP, IDLE = INDEX["stop_mult"], INDEX["trailing_mult"]
NET = ExitNet(layers(seed=2))
N_TRADES, PER_TRADE = 60, 4


def lessons(seed, spread=0.05):
    """Return rows of which the net foretells one parameter, and of the others nothing."""
    rng = np.random.default_rng(seed)
    unit_NF = rng.random((N_TRADES * PER_TRADE, 208), np.float32)
    target_NP = rng.random((len(unit_NF), N_PARAMETERS), np.float32)
    noise_N = rng.normal(0.0, spread, len(unit_NF)).astype(np.float32)
    target_NP[:, STOP] = NET.forward(unit_NF)[:, STOP] + noise_N
    target_NP[:, IDLE] = 0.4
    return Lessons(unit_NF=unit_NF, target_NP=target_NP, weight_NP=np.ones_like(target_NP))


def judged(p_value_P=None, why=(), trade_N=None, held=None, previous=0.5):
    held = held or lessons(2)
    return judge(
        net=NET,
        fitted=lessons(1),
        held=held,
        previous_NP=np.full(held.target_NP.shape, previous),
        trade_N=np.repeat(np.arange(N_TRADES), PER_TRADE) if trade_N is None else trade_N,
        credited=Credited(
            weight_NP=np.ones((1, N_PARAMETERS)),
            effect_P=np.full(N_PARAMETERS, 0.25),
            p_value_P=p_value_P,
            why=why,
        ),
        base_P=defaults(1.0),
        atr_ratio=(0.5, 2.0),
        false_discovery_rate=0.05,
    )


def test_by_trade_what_the_net_foretells_better_than_a_constant_is_identified():
    found = judged()
    assert np.flatnonzero(found.identified_P).tolist() == [STOP]
    stop, idle = found.evidence[STOP], found.evidence[IDLE]
    assert stop.gain > 0.3
    assert stop.why == "the state tells it"
    assert stop.net_error == pytest.approx(0.05**2, rel=0.3)
    assert (idle.spread, idle.why) == (
        pytest.approx(0.0, abs=1e-5),
        "the state does not tell it; stays at 1",
    )
    assert found.copy_test.net == stop.net_error < found.copy_test.constant
    assert found.copy_test.copy == stop.copy_error


def test_decisions_of_one_trade_are_one_witness():
    each, few = judged(trade_N=np.arange(240)), judged(trade_N=np.arange(240) // 60)
    assert each.evidence[STOP].p_value < few.evidence[STOP].p_value
    assert each.identified_P[STOP]
    assert not few.identified_P.any()


def test_where_the_effects_tell_the_error_of_the_net_does_not():
    p_value_P = np.ones(N_PARAMETERS)
    p_value_P[[STOP + 1, IDLE]] = 0.01
    found = judged(p_value_P, why=tuple(f"told {p}" for p in range(N_PARAMETERS)))
    # What was never varied is not the net's to decide, whatever is said of it.
    assert np.flatnonzero(found.identified_P).tolist() == [STOP + 1]
    assert found.evidence[STOP + 1].why == f"told {STOP + 1}"
    assert found.evidence[STOP].why == f"told {STOP}; stays at 3.6"


def test_rows_that_weigh_nothing_are_no_witnesses():
    held = lessons(2)
    spoilt = dataclasses.replace(
        held, target_NP=held.target_NP.copy(), weight_NP=held.weight_NP.copy()
    )
    spoilt.target_NP[:8], spoilt.weight_NP[:8] = 1.0, 0.0
    found = judged(held=spoilt).evidence[STOP]
    answer_N = NET.forward(held.unit_NF[8:])[:, STOP]
    error = ((answer_N - held.target_NP[8:, STOP]) ** 2).mean()
    assert found.net_error == pytest.approx(error, rel=1e-5)


def test_without_anything_identified_the_copy_test_says_nothing():
    found = judged(np.ones(N_PARAMETERS), why=("",) * N_PARAMETERS)
    assert not found.identified_P.any()
    assert np.isnan([found.copy_test.net, found.copy_test.copy, found.copy_test.constant]).all()
    assert found.evidence[ATR_P].default == 1.0
    assert found.evidence[ATR_P].why.startswith("no better forecast of the ATR than the measured")
