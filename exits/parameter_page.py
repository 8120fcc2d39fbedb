"""The table of exit parameters as the page ``docs/exit_parameters.md``."""

from itertools import groupby

from exits.parameters import ALIASES, PARAMETERS, ExitParameter

_PAGE = """\
# The 132 exit parameters

How a position is closed is decided by fixed rules ([replay_rules.md](replay_rules.md)); how strict
each rule is, and whether it acts at all, by these parameters. They are decided at the entry and may
be decided again while the position is open. Every one of them is read by a rule, and
[exit_liveness.md](exit_liveness.md) shows a trade that it changes.

The table is `exits/exit_parameters.csv`; this page is written from it. Its order is the order of a
decision's 132 numbers.

## Kinds

| kind | values | how a rule reads it |
|---|---|---|
| real | any number of the range | as it is |
| integer | whole numbers of the range | as it is; windows are rounded |
| flag | 0 to 1 | on above 0.5 |
| decision, to act | 0 to 1 | yes above 0.7 |
| decision, to permit | 0 to 1 | yes from 0.5 on |
| forecast | a price difference, its bounds fitted to data | as it is |

Decisions to act are `should_exit_now`, `should_take_partial_*` and `should_exit_dead_trade`; the
others permit. The forecast is `current_atr`, the ATR expected until the next decision: every rule
in ATR reads it. An update goes only part of the way to new parameters, so that a whole number may
become a fraction.

A model gives numbers from 0 to 1: 0 is the low end of a range and 1 the high end, linear in
between. Integers are rounded, halves up.

A tick is the symbol's tick size where that is given, else a share of the ATR at the signal. R is
the initial distance between the entry and its stop. A bar is one of the symbol's bars.
"""


def markdown_page() -> str:
    """Return the table as the page ``docs/exit_parameters.md``."""
    lines = [_PAGE]
    for group, parameters in groupby(PARAMETERS, key=lambda parameter: parameter.group):
        lines += [f"## {group.replace('_', ' ').capitalize()}", ""]
        lines += ["| parameter | range | default | kind | what it does |", "|---|---|---|---|---|"]
        lines += [*(_row(parameter) for parameter in parameters), ""]
    lines += ["## Older names", "", "Records may use these names too.", ""]
    lines += ["| older name | parameter |", "|---|---|"]
    lines += [f"| `{older}` | `{name}` |" for older, name in ALIASES.items()]
    return "\n".join(lines) + "\n"


def _row(parameter: ExitParameter) -> str:
    p = parameter
    if p.kind == "forecast":
        return f"| `{p.name}` | of the data | measured ATR | {p.kind} | {p.does} |"
    return f"| `{p.name}` | {p.low:g} to {p.high:g} | {p.default:g} | {p.kind} | {p.does} |"
