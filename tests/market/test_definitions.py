from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from market import definitions
from market.bars import Bars
from market.build import build_event_table
from market.definitions import DefinitionError, definition_of
from market.events import spaced

CONF = Path(__file__).parents[2] / "conf"
# As declared, but soon settled.
SHORT = {"ema_bars": 10, "zscore_bars": 50, "max_age_bars": 40, "block_lookback_bars": 10}


def stored(events="smc", **changes):
    features = yaml.safe_load((CONF / "features" / "smc.yaml").read_text())
    found = yaml.safe_load((CONF / "events" / f"{events}.yaml").read_text())
    return {"features": features | changes, "events": found}


def label():
    return yaml.safe_load((CONF / "labels" / "triple_barrier.yaml").read_text())


def later(bars, first):
    names = ("start_T", "open_T", "high_T", "low_T", "close_T", "volume_T")
    return Bars(bars.symbol, *(getattr(bars, name)[first:] for name in names), bars.length)


@pytest.mark.parametrize("events", ["smc", "every_bar"])
def test_decisions_are_the_rows_of_the_training_table(random_bars, events):
    bars, definition = random_bars(1, 1500), definition_of(stored(events), label())
    table = build_event_table(
        bars, features=definition.features, events=definition.events, labels=definition.labels
    )
    found = definition.decisions(bars)
    assert len(found) > 20
    assert (found.t0_N == table.t0_N).all()
    assert (found.x_NF == table.x_NF).all()
    assert (found.direction_N == table.x_NF[:, table.names_F.index("TBM_Entry")]).all()


def test_the_declared_parameters_need_about_a_thousand_bars():
    assert definition_of(stored(), label()).features.history_bars == 1022


@pytest.mark.parametrize("events", ["smc", "every_bar"])
@given(seed=st.integers(0, 50), first=st.integers(1, 700))
def test_settled_events_are_those_of_the_whole_history(random_bars, events, seed, first):
    bars, definition = random_bars(seed, 1300), definition_of(stored(events, **SHORT), label())
    whole, late = definition.decisions(bars), definition.decisions(later(bars, first))
    assert (np.diff(late.settled_N.astype(int)) >= 0).all()
    if not late.settled_N.any():
        return
    since = whole.t0_N >= late.t0_N[late.settled_N][0]
    assert (whole.t0_N[since] == late.t0_N[late.settled_N]).all()
    # Coarse ticks and standstill magnify rounding in z-scores of nearly constant windows.
    assert np.allclose(whole.x_NF[since], late.x_NF[late.settled_N], rtol=0, atol=1e-6)


def test_a_spacing_whose_chains_have_not_met_leaves_events_unsettled(random_bars):
    definition = stored(**SHORT)
    definition["events"]["min_spacing_bars"] = 400
    found = definition_of(definition, label()).decisions(random_bars(2, 1300))
    assert len(found) > 0
    assert not found.settled_N.any()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "smc_htf"}, "features.kind: 'smc_htf' is unknown here, known: smc"),
        ({"wavelets": 3}, "features.wavelets: is unknown here"),
        ({"swing_length": 2.5}, "features.swing_length: must be of type int, was 2.5"),
        ({"swing_length": 0}, "features: swing_length must be at least 1, was 0"),
        (
            {"zscore_bars": 2**63},
            "features.zscore_bars: must be at most 10000000, was 9223372036854775808",
        ),
        ({"gap_atr": float("nan")}, "features.gap_atr: must be at most 10000000, was nan"),
        ({"gap_atr": float("inf")}, "features.gap_atr: must be at most 10000000, was inf"),
        ({"kind": ["smc"]}, "features.kind: ['smc'] is unknown here, known: smc"),
        ({"kind": {"smc": 1}}, "features.kind: {'smc': 1} is unknown here, known: smc"),
        ({"a\x1b[2J\n": 1}, "features.'a\\x1b[2J\\n': is unknown here"),
    ],
)
def test_what_cannot_be_built_here_is_named(changes, sentence):
    with pytest.raises(DefinitionError) as refused:
        definition_of(stored(**changes), label())
    assert str(refused.value) == sentence


def test_a_missing_key_or_part_is_named():
    definition = stored()
    del definition["features"]["gap_atr"]
    with pytest.raises(DefinitionError, match=r"^features\.gap_atr: is missing$"):
        definition_of(definition, label())
    with pytest.raises(DefinitionError, match=r"^events: no definition is stored$"):
        definition_of({"features": stored()["features"]}, label())
    with pytest.raises(DefinitionError, match=r"^label.kind: 'table' is unknown here"):
        definition_of(stored(), {"kind": "table"})
    with pytest.raises(DefinitionError, match=r"^definition: must hold keys, was 'x'$"):
        definition_of("x", label())


@pytest.mark.parametrize("seconds", [-1, 0, 1e300, float("inf"), float("nan"), 10**400, "h"])
def test_a_bar_length_that_is_none_is_refused(seconds):
    sentence = r"^bar_length_s must be in \(0, 31622400\], was "
    with pytest.raises(DefinitionError, match=sentence):
        definition_of(stored() | {"bar_length_s": seconds}, label())


@pytest.mark.parametrize("spacing", [400, 10_000_000])
def test_a_spacing_longer_than_the_history_is_settled_without_a_search(
    random_bars, monkeypatch, spacing
):
    definition = stored(**SHORT)
    definition["events"]["min_spacing_bars"] = spacing
    tried = []
    monkeypatch.setattr(definitions, "spaced", lambda *given: tried.append(given))
    assert not definition_of(definition, label()).decisions(random_bars(2, 450)).settled_N.any()
    assert tried == []


@given(seed=st.integers(0, 20), spacing=st.integers(1, 30), n_bars=st.integers(150, 700))
def test_chains_are_one_where_they_are_one_for_every_shift(random_bars, seed, spacing, n_bars):
    parts = stored(**SHORT)
    parts["events"]["min_spacing_bars"] = 1
    definition, bars = definition_of(parts, label()), random_bars(seed, n_bars)
    state = definition.features.state(bars)
    bar_N, _ = definition.events.find(state)
    definition.events.min_spacing_bars = spacing
    first = max(definition.features.warmup_bars, definition.features.structure_bars)
    chains = [set(spaced(bar_N[bar_N >= first + shift], spacing)) for shift in range(spacing)]
    shared = set.intersection(*chains)
    assert definition._same_events_from(state) == min(shared, default=n_bars)
