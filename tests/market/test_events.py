"""Which bars are events, and in which direction."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from market.events import EveryBar, SmcEvents
from market.features.smc import SmcFeatures, SmcState

CONF = Path(__file__).parents[2] / "conf"

ALL = {"breaks": True, "block_touches": True, "gap_entries": True, "min_spacing_bars": 1}


def state(*, breaks=(), blocks=(), gaps=(), n_bars=10, warmup_bars=0):
    """Return a state in which the given (bar, direction) pairs fire."""
    fired = np.zeros((3, n_bars), dtype=np.int8)
    for row, pairs in enumerate((breaks, blocks, gaps)):
        for bar, direction in pairs:
            fired[row, bar] = direction
    return SmcState(np.ones(n_bars), np.zeros(n_bars), *fired, {}, warmup_bars)


def found(events, of):
    bar_N, direction_N = events.find(of)
    return list(zip(bar_N.tolist(), direction_N.tolist(), strict=True))


def test_each_condition_fires_in_its_own_direction():
    of = state(breaks=[(2, 1)], blocks=[(4, -1)], gaps=[(6, 1)])
    assert found(SmcEvents(**ALL), of) == [(2, 1), (4, -1), (6, 1)]
    assert found(SmcEvents(**ALL | {"block_touches": False}), of) == [(2, 1), (6, 1)]
    assert found(SmcEvents(**ALL | {"breaks": False}), of) == [(4, -1), (6, 1)]
    assert found(SmcEvents(**ALL | {"gap_entries": False}), of) == [(2, 1), (4, -1)]


def test_of_several_at_one_bar_the_break_speaks_then_the_block():
    of = state(breaks=[(2, 1)], blocks=[(2, -1), (5, 1)], gaps=[(2, -1), (5, -1)])
    assert found(SmcEvents(**ALL), of) == [(2, 1), (5, 1)]


def test_events_too_near_to_the_one_before_are_left_out():
    of = state(breaks=[(0, 1), (2, 1), (3, -1), (5, -1), (6, 1)])
    events = SmcEvents(**ALL | {"min_spacing_bars": 3})
    assert found(events, of) == [(0, 1), (3, -1), (6, 1)]


def test_nothing_fires_before_the_warm_up_ends():
    of = state(breaks=[(2, 1), (4, -1)], warmup_bars=4)
    assert found(SmcEvents(**ALL), of) == [(4, -1)]


def test_every_bar_is_an_event_in_the_direction_of_its_bias():
    of = dataclasses.replace(state(n_bars=4, warmup_bars=1), bias_T=np.array([0.5, 0.2, -0.1, 0.0]))
    assert found(EveryBar(), of) == [(1, 1), (2, -1), (3, 1)]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_shipped_events_come_at_a_usual_rate_and_both_ways(random_bars, seed):
    conf = OmegaConf.load(CONF / "events/smc.yaml")
    settings_ = OmegaConf.load(CONF / "features/smc.yaml")
    assert conf.pop("kind") == settings_.pop("kind") == "smc"
    of = SmcFeatures(**settings_).state(random_bars(3 * seed + 1, 3000))
    bar_N, direction_N = SmcEvents(**conf).find(of)
    assert 12 < 3000 / len(bar_N) < 50
    assert np.diff(bar_N).min() >= conf.min_spacing_bars
    assert 0.2 < (direction_N > 0).mean() < 0.8


def test_events_that_can_never_fire_are_refused():
    with pytest.raises(ValueError, match="one of breaks, block_touches and gap_entries"):
        SmcEvents(breaks=False, block_touches=False, gap_entries=False, min_spacing_bars=1)
    with pytest.raises(ValueError, match="min_spacing_bars must be at least 1, was 0"):
        SmcEvents(**ALL | {"min_spacing_bars": 0})
