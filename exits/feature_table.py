"""The 208 features of a decision: one table, from which reading, bounds and docs are made.

The first 132 are the exit parameters in force before the decision, in the order of
`exits.parameters`; the others are the rows of `feature_table.csv`, in its order.

Known
-----
entry
    From the decision of the entry on, at the close of the signal bar; where it moves (the market,
    the parameters, the session) it is that of the decision's own bar.
bar
    While the trade is open: the neutral value at the decision of the entry.
close
    Once the trade is closed: the neutral value at every decision, unless hindsight is asked for.

Scales
------
table
    Linear over the parameter's range in its own table.
linear, log
    Between bounds that are fitted to data; ``log`` is linear near 0 and logarithmic farther out.
code
    Whole numbers from 0: evenly over [0, 1].
"""

import csv
import hashlib
import json
from dataclasses import astuple, dataclass
from importlib.resources import files
from typing import Literal, cast, get_args

from exits.parameters import ATR, PARAMETERS, ExitParameter

Group = Literal[
    "exit_params",
    "market_state",
    "root_numeric",
    "encoded_categorical",
    "list_aggregates",
    "outcome_numeric",
]
Known = Literal["entry", "bar", "close"]
Scale = Literal["table", "linear", "log", "code"]

GROUPS: tuple[Group, ...] = get_args(Group)
COMPUTED = "= "


@dataclass(frozen=True, slots=True)
class Feature:
    """One row of the table.

    Attributes
    ----------
    name : str
        Unique: fields of `market_state`, `outcome` and the lists carry their prefix.
    group : str
    known : str
        When it is known: entry, bar or close.
    scale : str
        How it comes to [0, 1]: table, linear, log or code.
    neutral : float
        What it is where it is unknown, in raw units.
    codes : tuple of str
        Names of a code's numbers from 0 on, or the numbers themselves; empty for other scales.
        ``other`` is what an unknown name becomes.
    source : str
        Path in the record at a decision (``item`` is one of its `decision_history`), or, after
        ``= ``, what it is computed from.
    does : str
        What it tells.
    """

    name: str
    group: Group
    known: Known
    scale: Scale
    neutral: float
    codes: tuple[str, ...]
    source: str
    does: str


def _of_parameter(parameter: ExitParameter) -> Feature:
    source = f"item.previous.{parameter.name}"
    if parameter.name == ATR:
        does = "The ATR forecast in force, as a multiple of the one measured now."
        source = f"= {source} / item.atr"
        return Feature(ATR, "exit_params", "entry", "log", 1.0, (), source, does)
    does = "In force before the decision."
    return Feature(
        parameter.name, "exit_params", "entry", "table", parameter.default, (), source, does
    )


def _of_row(row: dict[str, str]) -> Feature:
    codes = row["codes"].split()
    if len(codes) == 1:
        codes = [str(number) for number in range(int(codes[0]))]
    return Feature(
        name=row["name"],
        group=cast("Group", row["group"]),
        known=cast("Known", row["known"]),
        scale=cast("Scale", row["scale"]),
        neutral=float(row["neutral"]),
        codes=tuple(codes),
        source=row["source"],
        does=row["does"],
    )


def _table() -> tuple[Feature, ...]:
    text = files("exits").joinpath("feature_table.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return (*(_of_parameter(one) for one in PARAMETERS), *(_of_row(row) for row in rows))


FEATURES: tuple[Feature, ...] = _table()
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
INDEX: dict[str, int] = {name: column for column, name in enumerate(NAMES)}
N_FEATURES = len(NAMES)
N_PARAMETERS = len(PARAMETERS)


def _digest() -> str:
    """Return a digest of all that gives the columns a meaning; what is said of them is left out."""
    columns = [astuple(feature)[:-1] for feature in FEATURES]
    ranges = [(one.name, str(one.low), str(one.high), one.kind) for one in PARAMETERS]
    return hashlib.sha256(json.dumps([columns, ranges]).encode()).hexdigest()


SCHEMA_DIGEST: str = _digest()
