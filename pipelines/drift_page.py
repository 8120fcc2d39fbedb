"""The page of a look for drift: one HTML file that needs nothing but itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from live.drift_report import SymbolDrift, utc
from live.symbol_drift import Looked
from pipelines.drift_figures import draw
from pipelines.drift_records import (
    BY,
    Told,
    accuracy_words,
    needed_words,
    settings_shown,
    verdict,
)
from selection.atomic import write_bytes_atomically

TEMPLATE = "drift.html.jinja"
_MOST_SHIFTS = 12


def write_page(path: Path, told: Told) -> None:
    """Write the page, whole or not at all; raises OSError if the folder cannot be written to."""
    write_bytes_atomically(path, render(told).encode())


def render(told: Told) -> str:
    """Return the page's HTML."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=ChoiceLoader([PackageLoader("pipelines", "."), PackageLoader("backtest", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    n_events = sum(one.n_events for one in told.report.symbols.values())
    return environment.get_template(TEMPLATE).render(
        title="Drift",
        subtitle=f"{n_events:,} signals of {len(told.found.looked)} symbols, later than all that "
        f"their models have read; {utc(told.started)}",
        warnings=list(_warnings(told)),
        reading=verdict(told),
        lines=[
            _line(symbol, one, told.found.looked.get(symbol))
            for symbol, one in told.report.symbols.items()
        ],
        evidence={
            symbol: one.reasons
            for symbol, one in told.report.symbols.items()
            if one.reasons and one.status != "no_model"
        },
        # Drawn here, of numbers, and of names that a manifest may hold: these are escaped by SVG.
        figures={name: Markup(one) for name, one in draw(told.found.looked).items()},  # noqa: S704
        shifts=[
            _shifts(symbol, looked)
            for symbol, looked in told.found.looked.items()
            if looked.features is not None
        ],
        settings=settings_shown(told),
    )


def _warnings(told: Told) -> Iterator[str]:
    if told.simulated:
        yield "The market is simulated: these numbers say nothing about a real one."
    yield from told.found.warnings


def _line(symbol: str, one: SymbolDrift, looked: Looked | None) -> dict[str, Any]:
    before, now, needed = "", "", ""
    if looked is not None:
        (before, now), needed = accuracy_words(looked), needed_words(looked)
    return {
        "symbol": symbol,
        "status": one.status.replace("_", " "),
        "tripped": one.status == "tripped",
        "events": f"{one.n_events:,}" if looked is not None else "",
        "before": before,
        "now": now,
        "needed": needed,
        "alarm": "" if one.tripped_at is None else utc(one.tripped_at),
        "by": ", ".join(BY[cause] for cause in one.tripped_by),
    }


def _shifts(symbol: str, looked: Looked) -> dict[str, Any]:
    features = looked.features
    if features is None:
        return {}
    rows = [
        {
            "name": one.name,
            "psi": f"{one.psi:.3f}",
            "psi_in_training": f"{one.psi_in_training:.3f}",
            "distance": f"{one.distance:.3f}",
            "effective": f"{one.effective:.0f}",
            "p": f"{one.p_adjusted:.2g}",
            "before": f"{one.median_before:.4g}",
            "now": f"{one.median_now:.4g}",
            "moved": one.moved,
        }
        for one in features.shifts[:_MOST_SHIFTS]
    ]
    return {
        "symbol": symbol,
        "rows": rows,
        "windows": features.windows,
        "rows_before": f"{features.rows_before:,}",
        "level": f"{features.level:.3g}",
    }
