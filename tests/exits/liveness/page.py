"""The page that shows for each exit parameter a trade that it changes."""

import functools
from pathlib import Path

from exits.parameters import NAMES, PARAMETERS
from tests.exits.liveness import idle, losses, profits, stops, surroundings
from tests.exits.liveness.outcome import outcome
from tests.exits.liveness.scenario import Scenario, replayed

SCENARIOS: list[Scenario] = [
    scenario
    for group in (stops, profits, losses, idle, surroundings)
    for scenario in group.SCENARIOS
]
BY_PARAMETER = {scenario.parameter: scenario for scenario in SCENARIOS}
PAGE = Path(__file__).parents[3] / "docs" / "exit_liveness.md"

_ABOUT = """\
# Every exit parameter is live

For each of the 132 parameters a small market, made by hand, in which moving this parameter alone
from the low end of its range to its high end changes the trade. All are traded by the replay
itself; what each parameter does is told in [exit_parameters.md](exit_parameters.md), the rules in
[replay_rules.md](replay_rules.md).

`python -m tests.exits.liveness` writes this page from the scenarios in `tests/exits/liveness`, and
the tests hold it to them. The rest of the parameters is set so that no other rule interferes
(`tests/exits/liveness/quiet.py`, and what a scenario says otherwise); a trade that nothing ends is
closed by `max_hold` after bar 90 (with haste, as after a close beyond the signal bar's low or in
recovery, by `max_duration` after bar 80).

Trades are long, without costs. They enter at the open of bar 1. Bars are of one minute, R is 10
ticks and the ATR much larger, unless the scenario says otherwise. "After bar 5" is decided at the
close of bar 5 and filled at the next open; "in bar 5" is an order that is touched or waits for its
open. After a partial the last number is the mean of all closes. Of `current_atr` low and high are
half and twice the measured ATR.
"""


@functools.cache
def outcomes(name: str, side: int = 1) -> tuple[str, str]:
    """Return what becomes of the trade with a parameter at its low and at its high end."""
    scenario = BY_PARAMETER[name]
    return outcome(replayed(scenario, "low", side)), outcome(replayed(scenario, "high", side))


def page() -> str:
    """Return the page."""
    lines = [_ABOUT, "| parameter | range | scenario | at low | at high |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(_row(name) for name in NAMES)]) + "\n"


def _row(name: str) -> str:
    scenario = BY_PARAMETER[name]
    parameter = PARAMETERS[NAMES.index(name)]
    ends = f"{parameter.low:g} to {parameter.high:g}"
    if parameter.kind == "forecast":
        ends = "of the data"
    at_low, at_high = outcomes(name)
    return f"| `{name}` | {ends} | {scenario.story} | {at_low} | {at_high} |"
