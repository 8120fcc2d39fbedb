"""Our features beside a package's: what is one thing is found alike, and either stands alone."""

import json

import numpy as np
import pytest

from benchmarks import market_speed, smart_money
from benchmarks.market_speed import FIRST_CALL, main, measure, page
from tests.pipelines.conftest import write_bars

KERNELS = {"compiled": 4.0, "loaded": 0.3}


@pytest.fixture
def alone(monkeypatch):
    """Make the package one that is not installed."""
    monkeypatch.setattr(market_speed, "smart_money_concepts", lambda: None)


@pytest.fixture(scope="module")
def package():
    pytest.importorskip("smartmoneyconcepts.smc", reason=smart_money.INSTALL)
    return smart_money.smart_money_concepts()


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_fair_value_gaps_are_the_same_in_both(package, random_bars, seed):
    bars = random_bars(seed, 700)
    name = "fair_value_gaps"
    ours, theirs = smart_money.ours(bars)[name], smart_money.theirs(package, bars)[name]
    found = ours.found(ours.call())
    assert found == theirs.found(theirs.call())
    assert {direction for _, direction in found} == {1, -1}


def test_the_package_stands_beside_every_row(package, random_bars):
    measured = measure(random_bars(2, 500), "random", repeats=1)
    assert [row.name for row in measured.rows][-1] == "everything"
    assert all(row.theirs_s > 0 for row in measured.rows)
    for row in measured.rows[:-1]:
        assert row.both <= min(row.ours, row.theirs)
    assert sum(row.theirs_s for row in measured.rows[:-1]) == measured.rows[-1].theirs_s


def test_our_swings_and_breaks_are_where_the_bars_have_them(random_bars):
    bars = random_bars(2, 500)
    sides = smart_money.ours(bars)
    swings = sides["swings"].found(sides["swings"].call())
    for bar, direction in swings:
        around = slice(bar - 5, bar + 6)
        edge_T = bars.high_T if direction == 1 else -bars.low_T
        assert edge_T[bar] == edge_T[around].max()
    breaks = sides["breaks"].found(sides["breaks"].call())
    assert len(breaks) > 10
    assert all(np.sign(bars.close_T[bar] - bars.close_T[bar - 1]) == d for bar, d in breaks)


def test_a_package_that_is_not_installed_is_none(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    assert smart_money.smart_money_concepts() is None


def test_without_the_package_its_column_is_left_out_and_the_command_is_named(alone, random_bars):
    measured = measure(random_bars(2, 500), "random", repeats=1)
    assert all(row.theirs_s is None and row.ours_s > 0 for row in measured.rows)
    measured.reading_s.update({"plain": 1.0, "first": 1.0, "again": 0.1})
    said = page([measured], KERNELS)
    assert said.endswith(f"its column is left out: {smart_money.INSTALL}\n")
    assert "4.0 s to compile once" in said


def test_the_command_prints_and_writes_what_it_measured(alone, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(market_speed, "kernel_seconds", lambda: KERNELS)
    write_bars(tmp_path, "EURUSD", 700)
    output = tmp_path / "new" / "speed.json"
    few = ("--bars", "600", "--repeats", "1", "--output", str(output))
    assert main([*few, "--data", str(tmp_path / "EURUSD.csv")]) == 0
    record = json.loads(output.read_text())
    assert [one["n_bars"] for one in record["measured"]] == [600, 700]
    assert all(set(one["reading_s"]) == {"plain", "first", "again"} for one in record["measured"])
    assert f"EURUSD from {tmp_path}" in capsys.readouterr().out


def test_a_first_call_tells_its_seconds(capsys):
    assert main([FIRST_CALL]) == 0
    assert float(capsys.readouterr().out) > 0
