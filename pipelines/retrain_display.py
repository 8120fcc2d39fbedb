"""What `pipelines.retrain` says: a table, and a line for every symbol."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selection.certified import in_digits
from selection.challenges import Judged

Outcome = Literal["adopted", "dismissed", "waiting", "not trained", "failed"]
DIGITS_SHOWN = 12
NOTHING_TO_DO = (
    "Nothing to do: the last look of python -m pipelines.drift names no symbol that drifted, and "
    "no challenger waits. symbols=[...] trains some by hand"
)
_LEFT: Literal["left"] = "left"
_RIGHT: Literal["right"] = "right"
_STYLES = {"adopted": "green", "dismissed": "yellow", "failed": "red"}
_WHAT_NOW = {
    "adopted": "",
    "dismissed": "MANUAL_REVIEW",
    "waiting": "retrain again later",
    "not trained": "",
    "failed": "see below",
}


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one symbol.

    Attributes
    ----------
    symbol : str
    outcome : str
    champion, challenger : str or None
        Names of models.
    reason : str
        One sentence.
    judged : Judged or None
        Where it was judged.
    """

    symbol: str
    outcome: Outcome
    champion: str | None
    challenger: str | None
    reason: str
    judged: Judged | None = None


def show(
    console: Console, rows: Iterable[Row], notes: Iterable[str], live: Path, sha256: str
) -> None:
    """Print what came of every symbol, and what is live now."""
    rows = list(rows)
    if rows:
        console.print(_table(rows))
    for row in rows:
        line = f"{row.symbol}: {row.reason}"
        console.print(Text(line, _STYLES.get(row.outcome, "")), soft_wrap=True)
    notes = list(notes)
    for note in notes:
        console.print(Text(note, "yellow"), soft_wrap=True)
    if not rows and not notes:
        console.print(NOTHING_TO_DO, markup=False, soft_wrap=True)
    console.print(f"live      {live}  {sha256[:DIGITS_SHOWN]}", markup=False, soft_wrap=True)


def _table(rows: Iterable[Row]) -> Table:
    table = Table(
        title="Challengers",
        caption="Model and log-loss: the challenger's, below it the champion's, on the same later "
        "events.",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.title_justify = table.caption_justify = "left"
    for heading in ("symbol", "outcome", "model", "events", "log-loss", "p", ""):
        justify = _RIGHT if heading in ("events", "log-loss", "p") else _LEFT
        table.add_column(heading, justify=justify, no_wrap=True)
    for row in rows:
        judged = row.judged
        table.add_row(
            Text(row.symbol),
            Text(row.outcome, _STYLES.get(row.outcome, "")),
            Text(f"{row.challenger or 'none'}\n{row.champion or 'none'}"),
            f"{judged.rows}" if judged else "",
            _losses(judged) if judged else "",
            in_digits(judged.p_adjusted) if judged else "",
            Text(_WHAT_NOW[row.outcome]),
        )
    return table


def _losses(judged: Judged) -> str:
    if judged.champion_log_loss is None:
        return f"{judged.log_loss:.4f}"
    return f"{judged.log_loss:.4f}\n{judged.champion_log_loss:.4f}"
