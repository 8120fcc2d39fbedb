"""The page of a calibration: one HTML file that needs nothing but itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from live.calibrating import LEAST_OUTCOMES, Judgement
from pipelines.calibrate_figures import draw
from pipelines.calibrate_records import (
    Told,
    ends_trading_words,
    live_kind,
    name_of,
    settings_shown,
    shortly,
    taken,
    taken_back,
    verdict,
)
from selection.atomic import write_bytes_atomically

TEMPLATE = "calibrate.html.jinja"


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
    n_outcomes = sum(one.n_outcomes for one in told.judgements)
    return environment.get_template(TEMPLATE).render(
        title="Live probabilities against what became of them",
        subtitle=f"{n_outcomes:,} outcomes of {len(told.outcomes.resolved)} symbols, later than "
        f"all that their models have read; {told.started:%Y-%m-%d %H:%M} UTC",
        warnings=list(_warnings(told)),
        reading=verdict(told),
        lines=[_line(told, one) for one in told.judgements],
        least=LEAST_OUTCOMES,
        # Drawn here, of numbers, and of names that a manifest may hold: these are escaped by SVG.
        figures={name: Markup(one) for name, one in draw(told.judgements).items()},  # noqa: S704
        settings=settings_shown(told),
    )


def _warnings(told: Told) -> Iterator[str]:
    if told.simulated:
        yield "The market is simulated: these numbers say nothing about a real one."
    for line in told.outcomes.failed.values():
        yield f"Not judged: {line}"
    if line := ends_trading_words(told):
        yield line
    yield from taken_back(told)
    yield from told.outcomes.warnings


def _line(told: Told, one: Judgement) -> dict[str, Any]:
    live, best = one.live, one.best
    found: dict[str, Any] = {
        "name": name_of(one),
        "outcomes": f"{one.n_outcomes:,}",
        "live": live_kind(told, one),
        "adopted": one.adopted is not None,
        "why": one.why if one.best is None else shortly(one),
        "judged": "",
    }
    if live is None or best is None:
        return found | dict.fromkeys(
            ("best", "gain", *_SCORES, *_AFTER, "taken", "taken_after"), ""
        )
    return found | {
        "judged": f"{len(one.y_N):,}",
        "best": best.kind,
        "gain": f"{1000 * best.gain:+.1f} ± {1000 * best.standard_error:.1f}, p {best.p_value:.2g}",
        "log_loss": f"{live.log_loss:.4f}",
        "log_loss_after": f"{best.scores.log_loss:.4f}",
        "brier": f"{live.brier:.4f}",
        "brier_after": f"{best.scores.brier:.4f}",
        "calibration_error": f"{live.calibration_error:.1%}",
        "calibration_error_after": f"{best.scores.calibration_error:.1%}",
        "taken": f"{taken(one, None):,}",
        "taken_after": f"{taken(one, best):,}",
    }


_SCORES = ("log_loss", "brier", "calibration_error")
_AFTER = tuple(f"{name}_after" for name in _SCORES)
