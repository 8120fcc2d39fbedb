"""The compiled replay and a slow one, which share no code, make the same trades.

Longer: ``ASSAY_FUZZ_EXAMPLES=20000 python -m pytest tests/backtest -k reference``.
"""

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings

from tests.backtest.comparison import assert_agree
from tests.backtest.reference_exits import EXIT_RULE_NAMES
from tests.backtest.strategies import Scenario, drawn, scenarios
from tests.backtest.themes import THEMES

EXAMPLES = int(os.environ.get("ASSAY_FUZZ_EXAMPLES", "500"))
SEEDS_PER_THEME = max(40, EXAMPLES // len(THEMES))

ENDS = (
    *EXIT_RULE_NAMES,
    *("stop_initial", "stop_tightened", "stop_breakeven", "stop_trailing"),
    *("final_target", "partial_1", "partial_2", "partial_3"),
)
MOVES = (
    *("breakeven breakeven", "trailing trailing", "trailing profit_lock", "trailing spike"),
    *("tightened time_decay", "tightened creeping", "tightened sideways", "tightened account"),
)
PARTIALS = (
    *("partial_1", "partial_2", "partial_3", "evaluator"),
    *("noted", "delayed", "rejected", "too small"),
)
SKIPPED = ("sideways", "losing_streak", "daily_loss", "session_close", "open_risk")


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios())
def test_any_scenario_gives_the_same_trades_in_both(scenario: Scenario) -> None:
    assert_agree(scenario)


@pytest.fixture(scope="module")
def met() -> Counter:
    """Compare a fixed set of scenarios, and count what happened in them."""
    found: Counter = Counter()
    for theme in THEMES:
        for seed in range(SEEDS_PER_THEME):
            slow = assert_agree(drawn(theme, seed, 150))
            found.update(slow.seen)
            found.update({f"skipped {reason}": n for reason, n in slow.skipped.items()})
            found["trades"] += len(slow.trades)
    return found


def test_thousands_of_trades_were_compared(met: Counter) -> None:
    assert met["trades"] > 5000


@pytest.mark.parametrize("rule", ENDS)
def test_every_way_a_trade_ends_was_among_them(met: Counter, rule: str) -> None:
    assert met[f"exit {rule}"] > 0


@pytest.mark.parametrize("move", MOVES)
def test_every_move_of_a_stop_was_among_them(met: Counter, move: str) -> None:
    assert met[f"stop {move}"] > 0


@pytest.mark.parametrize("kind", PARTIALS)
def test_every_kind_of_partial_was_among_them(met: Counter, kind: str) -> None:
    assert met[f"partial {kind}"] > 0


@pytest.mark.parametrize("reason", SKIPPED)
def test_every_reason_to_drop_an_entry_was_among_them(met: Counter, reason: str) -> None:
    assert met[f"skipped {reason}"] > 0
