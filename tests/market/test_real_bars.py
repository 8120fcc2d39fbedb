"""Real hourly bars, where they are at hand: FX, gold and crypto, one of them on coarse ticks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml

from market.bar_files import BarFiles
from market.build import build_event_table
from market.event_table import UNDECIDED
from market.events import EveryBar, SmcEvents
from market.features.smc import SmcFeatures
from market.labels import TripleBarrier

ROOT = Path(__file__).parents[2]
FOLDER = ROOT.parent / "shared" / "data" / "bars"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} does not exist")

HOUR = np.timedelta64(3_600_000_000, "us")
ROWS = {"EURUSD": 79_781, "GBPUSD": 43_204, "XAUUSD": 43_955, "BTCUSD": 29_646, "ADAUSDT": 33_942}
FX_AND_COARSE = pytest.mark.parametrize("symbol", ["GBPUSD", "ADAUSDT"])


def declared(name, kind):
    keys = yaml.safe_load((ROOT / "conf" / name).read_text())
    return kind(**{key: value for key, value in keys.items() if key != "kind"})


@pytest.fixture(scope="module")
def make():
    return {
        "features": declared("features/smc.yaml", SmcFeatures),
        "labels": declared("labels/triple_barrier.yaml", TripleBarrier),
    }


def three_thousand(symbol):
    """Bars 1,000 to 4,000: a symbol's first ones are wild."""
    bars = BarFiles(dir=str(FOLDER)).bars(symbol)
    parts = {f.name: getattr(bars, f.name) for f in dataclasses.fields(bars)}
    return type(bars)(**{k: v[1000:4000] if k.endswith("_T") else v for k, v in parts.items()})


def test_every_file_is_read_and_its_bars_are_hourly():
    files = BarFiles(dir=str(FOLDER))
    assert len(files.symbols) == 16
    for symbol in files.symbols:
        bars = files.bars(symbol)
        assert bars.length == HOUR, symbol
        assert len(bars) == ROWS.get(symbol, len(bars)), symbol
        assert (bars.start_T == bars.start_T.astype("datetime64[h]")).all(), symbol


def test_the_first_and_last_hours_are_those_of_the_source():
    bars = BarFiles(dir=str(FOLDER)).bars("GBPUSD")
    assert bars.start_T[0] == np.datetime64("2012-11-16T04:00")
    assert bars.start_T[-1] == np.datetime64("2019-11-08T21:00")


def test_the_coarse_symbol_is_coarse():
    bars = three_thousand("ADAUSDT")
    assert np.mean(np.diff(bars.close_T) == 0) > 0.2
    assert (bars.high_T == bars.low_T).sum() > 100


@FX_AND_COARSE
@pytest.mark.parametrize("every_bar", [False, True])
def test_cutting_real_bars_changes_nothing_that_was_known(make, symbol, every_bar):
    bars = three_thousand(symbol)
    events = EveryBar() if every_bar else declared("events/smc.yaml", SmcEvents)
    full = build_event_table(bars, events=events, **make)
    assert len(full) > 100
    assert np.isfinite(full.x_NF).all()
    for cut in (400, 1217, 2048, 2999):
        past = build_event_table(bars.until(cut), events=events, **make)
        known = full.t0_N <= bars.close_time_T[cut - 1]
        np.testing.assert_array_equal(past.t0_N, full.t0_N[known])
        assert past.x_NF.tobytes() == full.x_NF[known].tobytes()
        decided = past.label_N != UNDECIDED
        late = full.t1_N[known] > bars.close_time_T[cut - 1]
        np.testing.assert_array_equal(~decided, late | np.isnat(full.t1_N[known]))
        for name in ("label_N", "t1_N", "weight_N"):
            then, now = getattr(past, name)[decided], getattr(full, name)[known][decided]
            assert then.tobytes() == now.tobytes(), name


@FX_AND_COARSE
def test_a_label_needs_its_last_bar_and_none_after_it(make, symbol):
    bars, rng = three_thousand(symbol), np.random.default_rng(0)
    table = build_event_table(bars, events=EveryBar(), **make)
    for event in rng.choice(len(table) - 100, 12, replace=False):
        last = int(np.searchsorted(bars.close_time_T, table.t1_N[event]))
        without = build_event_table(bars.until(last), events=EveryBar(), **make)
        assert without.label_N[event] == UNDECIDED
        until = build_event_table(bars.until(last + 1), events=EveryBar(), **make)
        assert until.label_N[event] == table.label_N[event] != UNDECIDED


@FX_AND_COARSE
def test_a_label_changes_with_no_price_after_its_end(make, symbol):
    bars = three_thousand(symbol)
    table = build_event_table(bars, events=EveryBar(), **make)
    late_T = bars.close_time_T > bars.close_time_T[1500]
    scale_T = np.where(late_T, 3.0, 1.0)
    names = ("open_T", "high_T", "low_T", "close_T")
    tripled = dataclasses.replace(bars, **{n: getattr(bars, n) * scale_T for n in names})
    other = build_event_table(tripled, events=EveryBar(), **make)
    ended = table.t1_N <= bars.close_time_T[1500]
    assert 800 < ended.sum() < len(table)
    for name in ("label_N", "t1_N", "weight_N"):
        assert (getattr(table, name)[ended] == getattr(other, name)[ended]).all(), name
    assert (table.label_N[~ended] != other.label_N[~ended]).any()
