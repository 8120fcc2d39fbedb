"""The table of features as the page ``docs/exit_features.md``: ``python -m exits.feature_page``."""

import sys
from itertools import groupby
from pathlib import Path
from typing import Final

from exits.feature_table import FEATURES, INDEX, N_PARAMETERS, Feature
from selection.atomic import write_bytes_atomically

PAGE: Final = Path("docs/exit_features.md")
_HEAD: Final = """\
# The 208 features of a decision

What exits learn from and decide by: 208 numbers for each decision of a trade. The first 132 are the
[exit parameters](exit_parameters.md) in force before the decision; the others are the rows of
`exits/feature_table.csv`, from which they are read and this page is written.

## When a feature is known

- **entry**: from the decision of the entry on, made at the close of the signal bar. What moves (the
  market, the parameters, the session) is that of the decision's own bar.
- **bar**: while the trade is open, at the closes up to the decision's own. At the decision of the
  entry it has its neutral value.
- **close**: once the trade is closed. It has its neutral value at every decision.

No feature of a row hangs on anything later than its decision. `allow_hindsight` breaks this to show
how good a leak looks: the parameters are then those that the decision itself chose, and the other
numbers those at the end of the trade. A model that learnt from such rows is refused for trading.

## How a feature comes to [0, 1]

- **table**: over the range of the parameter in its own table.
- **linear**: between the 0.5 and 99.5 percent quantiles of the training rows.
- **log**: the same of sign(x) log(1 + abs(x) / size); size is the median size of what is not 0.
- **code**: whole numbers from 0, evenly.

What lies outside is clipped; a column without spread is 0. Where a column is nearly always the
same, its least and largest value are taken for the quantiles.

What a record does not hold, or holds as NaN or infinity, has the neutral value and is counted in
the data report. So is a name that the table does not know: it becomes `other`.

A source that begins with `item` is read from the decision's item of `decision_history`, the others
from the record; what comes after `=` is computed, from what the record tells up to the decision's
bar.
"""
_READING: Final = """\
## What is read

JSON arrays, objects with an `experiences` array, and JSON Lines. Lists and objects in a record may
be written as JSON in a text. Times are ISO; without a zone they are UTC. Regime, session and exit
reason are names in any case, or the numbers above; a side is a name alone. Parameters are those of
`exit_params_used`, else of `exit_params`: any of the 132, under their names or older ones; the rest
are defaults.

A record is set aside, with its reason, if it

- is not JSON, or no object;
- has no id (`trade_id`, `id`, `experience_id` or `position_id`);
- has no time of entry (`timestamp`, `entry_timestamp` or `entry_time`), a time that cannot be read,
  or an exit before its entry;
- has no `r_multiple`, and not `pnl`, `outcome.risk_price` and the quantity to compute it from;
- has no exit parameters, one that is unknown or given twice, or one that is no finite number;
- has a text, a list or an object where a number must be.

The rest of the file goes on. A trade that is recorded twice (the same id, symbol and time of
entry) counts once, as it is read first. Where a history of decisions is missing, cannot be read or
does not go forward, the decision of the entry is left: the parameters before it are those of the
symbol's trade before, else the defaults.
"""
_OF_PARAMETERS: Final = f"""\
Columns 0 to {N_PARAMETERS - 1}: the parameters in the order of their table, in real units, neutral
at their defaults, known at the entry. `current_atr` is a multiple of the ATR that is measured at
the decision (scale log, neutral 1).
"""


def markdown_page() -> str:
    """Return the table as the page ``docs/exit_features.md``."""
    lines = [_HEAD]
    for group, features in groupby(FEATURES, key=lambda feature: feature.group):
        lines += [f"## {group.replace('_', ' ').capitalize()}", ""]
        if group == "exit_params":
            lines.append(_OF_PARAMETERS)
            continue
        lines += ["| column | feature | known | scale | neutral | source | what it tells |"]
        lines += ["|---|---|---|---|---|---|---|", *(_row(feature) for feature in features), ""]
    lines += ["## Names and their numbers", "", "| feature | names |", "|---|---|"]
    lines += [_names(one) for one in FEATURES if one.group == "encoded_categorical"]
    return "\n".join([*lines, "", _READING])


def _row(feature: Feature) -> str:
    f = feature
    source = "`" + f.source.replace("|", r"\|") + "`"
    return (
        f"| {INDEX[f.name]} | `{f.name}` | {f.known} | {f.scale} | {f.neutral:g} | {source} "
        f"| {f.does} |"
    )


def _names(feature: Feature) -> str:
    names = ", ".join(f"{name} {number}" for number, name in enumerate(feature.codes))
    return f"| `{feature.name}` | {names} |"


if __name__ == "__main__":
    write_bytes_atomically(PAGE, markdown_page().encode())
    sys.stdout.write(f"{PAGE}\n")
