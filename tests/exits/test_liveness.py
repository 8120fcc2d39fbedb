"""Every exit parameter is live: moved alone, it changes a trade."""

import ast
from pathlib import Path

import pytest

from exits.parameters import NAMES
from tests.exits.liveness.page import PAGE, SCENARIOS, outcomes, page

ROOT = Path(__file__).parents[2]


def test_every_parameter_has_a_scenario_of_its_own():
    assert sorted(scenario.parameter for scenario in SCENARIOS) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_moved_alone_from_low_to_high_it_changes_the_trade(name):
    at_low, at_high = outcomes(name)
    assert at_low != at_high
    assert "still open" not in at_low + at_high


@pytest.mark.parametrize("name", NAMES)
def test_a_short_trade_in_the_market_upside_down_ends_the_same(name):
    assert outcomes(name, side=-1) == outcomes(name)


def test_the_page_shows_what_the_scenarios_do():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.exits.liveness"


def test_every_parameter_is_read_by_a_rule():
    read = set()
    for folder in (ROOT / "exits" / "rules", ROOT / "backtest"):
        for path in folder.glob("*.py"):
            read |= names_read(path.read_text(encoding="utf-8"))
    assert set(NAMES) - read == set()


def test_only_what_is_read_from_parameters_counts_as_read():
    assert names_read("p.stop_mult + s.runner_target_r") == {"stop_mult"}
    assert names_read("p.current_atr = bar.atr") == set()
    assert names_read('RATE = INDEX["time_decay_rate"]; x = other["stop_mult"]') == {
        "time_decay_rate"
    }


def names_read(source: str) -> set[str]:
    """Return the parameters that code reads as ``p.<name>``, or whose place it looks up."""
    read = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="p"), attr=name, ctx=ast.Load()):
                read.add(name)
            case ast.Subscript(value=ast.Name(id="INDEX"), slice=ast.Constant(value=str(name))):
                read.add(name)
    return read
