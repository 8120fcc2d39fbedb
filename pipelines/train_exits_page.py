"""The page of a learning: one HTML file that needs nothing but itself."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from backtest.effect_figures import draw_effects
from backtest.headline import MISSING
from exits.evidence import ParameterEvidence
from pipelines.train_exits_figures import draw_curves
from pipelines.train_exits_records import HINDSIGHT, EvidenceGroup, Told, groups, number, verdict
from selection.atomic import write_bytes_atomically

TEMPLATE = "train_exits.html.jinja"
_MOST_NAMED = 6
_EFFECTS: Final = {
    "regime": (
        "What the net changes, by regime and session",
        "Mean of each parameter by regime of the signal and session of the decision. Blue: above "
        "the default, orange: below it; full colour from a quarter of the range on. Cells of fewer "
        "than 5 decisions are empty.",
    ),
}
_OTHER = (
    "What the net changes, by {state}",
    "Mean of each parameter in bins with about as many decisions each. Dashed: the default.",
)


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
    learnt = told.learnt
    drawn = {"curves": draw_curves(learnt.curves, learnt.best_epoch), **draw_effects(told.effects)}
    return environment.get_template(TEMPLATE).render(
        title="Exits learnt from experiences" + (" with hindsight" if learnt.hindsight else ""),
        subtitle=_subtitle(told),
        warnings=list(_warnings(told)),
        reading=verdict(told),
        groups=[_group(one) for one in groups(learnt)],
        lines=[_line(one) for one in sorted(learnt.evidence, key=_order)],
        copy_test=_copy_test(told),
        # Drawn here, of numbers: nothing in them comes from outside.
        figures={name: Markup(one) for name, one in drawn.items()},  # noqa: S704
        curves_caption=f"Kept: epoch {learnt.best_epoch}, of the lowest loss held back.",
        effects=[_effect(state) for state in drawn if state != "curves"],
        data=data_tables(told),
        model=str(told.model_dir),
        settings=_settings(told),
    )


def _subtitle(told: Told) -> str:
    learnt = told.learnt
    fitted = f"fitted on {learnt.n_train.trades:,} trades ({learnt.n_train.rows:,} decisions)"
    held = f"held back {learnt.n_validation.trades:,} ({learnt.n_validation.rows:,})"
    return f"{fitted}, {held}; learnt up to {told.trained_until:%Y-%m-%d %H:%M} UTC"


def _warnings(told: Told) -> Iterator[str]:
    if told.learnt.hindsight:
        yield f"{HINDSIGHT}."
    if told.simulated:
        yield "The market is simulated: these numbers say nothing about a real one."


def _order(one: ParameterEvidence) -> tuple[bool, float, float]:
    return (not one.identified, one.p_value, -one.gain)


def _group(one: EvidenceGroup) -> dict[str, Any]:
    more = len(one.names) - _MOST_NAMED
    names = ", ".join(one.names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return {
        "why": one.why,
        "identified": one.identified,
        "n": len(one.names),
        "effect": number(one.effect_r, "+.3f"),
        "gain": number(one.gain, "+.1%"),
        "names": names,
    }


def _line(one: ParameterEvidence) -> dict[str, Any]:
    return {
        "name": one.name,
        "default": number(one.default, ".4g"),
        "learnt": number(one.mean_learnt, ".4g"),
        "spread": number(one.spread, ".1%"),
        "gain": number(one.gain, "+.1%"),
        "effect": number(one.effect_r, "+.3f"),
        "p": number(one.p_value, ".2g"),
        "identified": one.identified,
        "verdict": one.why,
    }


def _copy_test(told: Told) -> list[dict[str, str]]:
    found = told.learnt.copy_test
    if math.isnan(found.net):
        return []
    lines = (
        ("the net", found.net, "its own answer"),
        ("the parameters in force", found.copy, "what repeating them would come to"),
        ("one constant", found.constant, "the weighted mean of what was decided"),
    )
    return [
        {"name": name, "error": number(error, ".5f") or MISSING, "note": note}
        for name, error, note in lines
    ]


def _effect(state: str) -> dict[str, str]:
    title, caption = _EFFECTS.get(state, _OTHER)
    title = title.format(state=state)
    return {"name": state, "title": title, "caption": caption, "alt": f"{title}: small pictures."}


def data_tables(told: Told) -> dict[str, dict[str, str]]:
    """Return what was read, as tables by heading."""
    found: dict[str, dict[str, str]] = {}
    for name, value in told.report.to_json().items():
        heading = name.replace("_", " ").capitalize()
        if isinstance(value, Mapping):
            found[heading] = {str(key): _count(one) for key, one in value.items()}
        else:
            found.setdefault("Records", {})[heading.lower()] = _count(value)
    return found


def _count(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_count(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(_count(one) for one in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _settings(told: Told) -> dict[str, dict[str, str]]:
    settings = told.settings
    return {
        "Experiences": {path.name: str(path.parent) for path in settings.files},
        "Learning": {key: str(one) for key, one in told.shown_settings.items()},
    }
