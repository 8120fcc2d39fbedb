"""What a person sees of a sweep that has ended: default against tuned, per symbol and model."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from pipelines.sweep_settings import Searched, Sweep
from selection.atomic import write_bytes_atomically
from selection.certified import in_digits
from selection.tuned_file import Compared, Score, TunedModel

Found = Mapping[tuple[str, str], TunedModel]
PARTS = ("cross_validated", "later")
COLUMNS = (
    *("symbol", "model", "complete", "pruned", "failed", "best_trial"),
    *(f"{part}_rows" for part in PARTS),
    *(
        f"{part}_{who}_{what}"
        for part in PARTS
        for who in ("default", "tuned")
        for what in ("log_loss", "accuracy")
    ),
    *("gain", "standard_error", "p_value", "alpha", "look", "adopted", "reason"),
)
CAPTION = (
    "{shown} of the default procedure and of the best trial. cv: blocks 1 to {seen}, by which "
    "trials were chosen. test: the blocks after them, which only decided on adoption. No holdout "
    "was read."
)
# Columns of a terminal, from which on accuracies are shown too.
WIDE = 120


def show_spaces(console: Console, searched: Sequence[Searched], sweep: Sweep) -> None:
    """Print what is tried, and what is left out of the ranges asked for."""
    bound = "" if sweep.unbounded else "; what regularises less is left out (sweep.unbounded=true)"
    table = _table(f"Search{bound}", "", ["model", "hyperparameter", "tried", ""])
    for one in searched:
        for name, tried, asked in one.space.in_words():
            table.add_row(one.model.name, name, tried, asked)
    console.print(table)


def show(console: Console, found: Found, n_seen: int, *, simulated: bool) -> None:
    """Print the table of all studies; accuracies where there is room for them."""
    is_wide = console.width >= WIDE
    market = " (simulated market)" if simulated else ""
    n_adopted = sum(one.adopted for one in found.values())
    title = f"Default against tuned{market}: {n_adopted} of {len(found)} adopted"
    scored = ("cv\ndefault", "cv\ntuned", "test\ndefault", "test\ntuned")
    headings = ["symbol", "model", "trials", *scored, "p", "verdict"]
    shown = "Log-loss (accuracy)" if is_wide else "Log-loss"
    table = _table(title, CAPTION.format(shown=shown, seen=n_seen), headings)
    for (symbol, model), one in found.items():
        table.add_row(
            *(symbol, model, _trials(one)),
            *(*_pair(one.cross_validated, is_wide), *_pair(one.later, is_wide)),
            "" if one.adoption is None else in_digits(one.adoption.p_value),
            _verdict(one),
        )
    console.print(table)


def write_csv(path: Path, found: Found) -> None:
    """Write one row per study."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for (symbol, model), one in found.items():
        writer.writerow({"symbol": symbol, "model": model, **_row(one)})
    write_bytes_atomically(path, text.getvalue().encode())


def _row(one: TunedModel) -> dict[str, Any]:
    row: dict[str, Any] = {**one.trials, "best_trial": one.best_trial, "adopted": one.adopted}
    row["reason"] = one.reason
    for part in PARTS:
        both: Compared | None = getattr(one, part)
        if both is not None:
            row[f"{part}_rows"] = both.default.rows
        for who in ("default", "tuned") if both is not None else ():
            score = getattr(both, who)
            row[f"{part}_{who}_log_loss"], row[f"{part}_{who}_accuracy"] = (
                score.log_loss,
                score.accuracy,
            )
    if one.adoption is not None:
        for name in ("gain", "standard_error", "p_value", "alpha", "look"):
            row[name] = getattr(one.adoption, name)
    return row


def _trials(one: TunedModel) -> str:
    failed = one.trials["failed"]
    return f"{one.n_trials}" + (f" ({failed} failed)" if failed else "")


def _verdict(one: TunedModel) -> str:
    if one.adopted:
        return "adopted"
    if one.adoption is not None:
        return "refused"
    return "untested" if one.cross_validated is None else "no better"


def _pair(both: Compared | None, is_wide: bool) -> tuple[str, str]:
    if both is None:
        return "", ""
    return _score(both.default, is_wide), _score(both.tuned, is_wide)


def _score(score: Score, is_wide: bool) -> str:
    return f"{score.log_loss:.4f}" + (f" ({score.accuracy:.3f})" if is_wide else "")


def _table(title: str, caption: str, headings: Sequence[str]) -> Table:
    table = Table(
        title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    table.title_justify = table.caption_justify = "left"
    for heading in headings:
        right = heading in ("trials", "p") or heading.startswith(("cv", "test"))
        table.add_column(heading, justify="right" if right else "left")
    return table
