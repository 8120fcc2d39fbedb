"""What a person sees of a calibration, or a machine reads."""

import json
from collections.abc import Iterator

from rich import box
from rich.table import Table

from live.calibrating import Judgement
from pipelines.calibrate_records import (
    POOLED,
    Told,
    document,
    ends_trading_words,
    live_kind,
    name_of,
    shortly,
    taken,
    taken_back,
    verdict,
)
from pipelines.console import console
from selection import to_json_safe

LEAST_SHOWN = 0.01
CAPTION = (
    "Before: as it is acted on; after: the best map, each tenth of the outcomes judged by one that "
    "was fitted on the others. ECE: mean distance of win rates from probabilities over ten bins; "
    "it is never 0. Taken: signals that reach the threshold for a trade. Gain: of log-loss, "
    "thousandths of a nat, with its one-sided p-value; adopted below alpha."
)


def show(told: Told) -> None:
    """Print the table of a calibration and where its files are, or its document."""
    if told.settings.format == "json":
        print(json.dumps(to_json_safe(document(told)), indent=2, allow_nan=False))
        return
    screen = console()
    if told.judgements:
        screen.print(_table(told))
    screen.print(f"{verdict(told)}.", markup=False, soft_wrap=True)
    for line, style in _remarks(told):
        screen.print(line, style=style, markup=False, soft_wrap=True)
    screen.print(f"results   {told.folder}", markup=False, soft_wrap=True)
    if told.settings.tracker.failure:
        failure = f"tracking  {told.settings.tracker.failure}"
        screen.print(failure, markup=False, soft_wrap=True)


def _table(told: Told) -> Table:
    market = "a simulated market" if told.simulated else "real data"
    table = Table(
        title=f"Later outcomes of {market}",
        caption=CAPTION,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        # Two columns fewer between any two: it must fit a terminal of 80.
        padding=(0, 1, 0, 0),
    )
    table.title_justify = table.caption_justify = "left"
    table.add_column("symbol", min_width=6, max_width=16, overflow="fold")
    table.add_column("outcomes", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("map", no_wrap=True)
    for heading in ("log-loss", "ECE", "taken", "gain"):
        table.add_column(heading, justify="right", no_wrap=True)
    # Where the terminal is narrow, it breaks between words, and none of them is cut.
    table.add_column("verdict", min_width=8)
    for one in told.judgements:
        table.add_row(*_cells(told, one), style="green" if one.adopted is not None else "")
    return table


def _cells(told: Told, one: Judgement) -> list[str]:
    live, best = one.live, one.best
    start = [_short_name(one), f"{one.n_outcomes:,}"]
    if live is None or best is None:
        return [*start, "", _live_map(told, one), *[""] * 4, shortly(one)]
    after = best.scores
    return [
        *start,
        "before\nafter",
        f"{_live_map(told, one)}\n{best.kind}",
        f"{live.log_loss:.4f}\n{after.log_loss:.4f}",
        f"{live.calibration_error:.1%}\n{after.calibration_error:.1%}",
        f"{taken(one, None):,}\n{taken(one, best):,}",
        f"{1000 * best.gain:+.1f}\np {p_words(best.p_value)}",
        shortly(one),
    ]


def _live_map(told: Told, one: Judgement) -> str:
    """Return what maps the model's probability today, in a word."""
    kind = live_kind(told, one)
    return "several" if " or " in kind else kind


def p_words(p_value: float) -> str:
    """Return a p-value as a narrow column holds it."""
    return f"{p_value:.2f}" if p_value >= LEAST_SHOWN else f"<{LEAST_SHOWN:.2f}"


def _short_name(one: Judgement) -> str:
    return name_of(one) if one.scope == "model" else f"{POOLED} ({len(one.symbols)})"


def _remarks(told: Told) -> Iterator[tuple[str, str]]:
    """Yield what must not be overlooked."""
    for one in told.judgements:
        if one.scope == POOLED or (one.best is None and one.n_outcomes):
            yield f"{name_of(one)}: {one.why}", ""
    if line := ends_trading_words(told):
        yield line, "yellow"
    for line in taken_back(told):
        yield line, "yellow"
    for symbol, why in told.outcomes.without_model.items():
        yield f"{symbol}: no model is deployed: {why}", "dim"
    if told.published_sha256 is not None:
        back = f"python -m pipelines.deploy rollback manifest={told.settings.manifest}"
        yield f"back      {back}", ""
