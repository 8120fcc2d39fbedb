"""What the tracker is told of a sweep's studies and trials."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selection.tuned_in_words import in_words
from tracking.records import StudyKey, StudyRecord, TrialRecord
from training.tuning.verdicts import blocks_in_words

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from selection.tuned_file import Compared, TunedModel

PLOTS = "plots"
# What a trial's user attributes hold of its figures.
FIGURES = ("log_loss", "gap", "accuracy")


def study_key(tuned: "TunedModel") -> StudyKey:
    """Return what a study's run and those of its trials are found by."""
    return StudyKey(tuned.symbol, tuned.model, tuned.study)


def trial_record(trial: "FrozenTrial") -> TrialRecord:
    """Return one ended trial's run.

    One that was pruned has no figures but the objective after each block that it came to: over
    fewer blocks than others they would be compared with what they cannot be compared with.

    Parameters
    ----------
    trial : optuna.trial.FrozenTrial
        Its user attributes hold ``hyperparameters``, ``log_loss``, ``gap``, ``accuracy``,
        ``cpu_s`` and, if it failed, ``error``.

    Raises
    ------
    ValueError
        If it has not ended.
    """
    states = {"COMPLETE": "complete", "PRUNED": "pruned"}
    if not trial.state.is_finished():
        raise ValueError(f"trial {trial.number} has not ended, was {trial.state.name}")
    failed, attrs = trial.state.name == "FAIL", trial.user_attrs
    ended = trial.datetime_complete or datetime.now()
    figures = {"cpu_s": attrs.get("cpu_s")}
    if trial.state.name == "COMPLETE":
        figures |= {"objective": trial.value, **{name: attrs.get(name) for name in FIGURES}}
    return TrialRecord(
        number=trial.number,
        params=_params(attrs.get("hyperparameters", trial.params)),
        metrics=_finite(figures),
        steps=tuple(value for _, value in sorted(trial.intermediate_values.items())),
        state=states.get(trial.state.name, "failed"),  # type: ignore[arg-type]
        error=attrs.get("error", "its process ended before it did") if failed else None,
        # Optuna's times are local and have no zone.
        started_utc=(trial.datetime_start or ended).astimezone(UTC),
        ended_utc=ended.astimezone(UTC),
    )


def study_record(
    tuned: "TunedModel",
    *,
    started: datetime,
    ended: datetime,
    simulated: bool,
    n_seen: int,
    pictures: Sequence[Path] = (),
) -> StudyRecord:
    """Return the run of a study that has ended.

    Parameters
    ----------
    tuned : TunedModel
    started, ended : datetime
        With a time zone.
    simulated : bool
        Whether its market is made up.
    n_seen : int
        Number of blocks that trials were compared by.
    pictures : sequence of Path
        Shown in the run's folder ``plots``.
    """
    return StudyRecord(
        key=study_key(tuned),
        params=_params(tuned.hyperparameters),
        metrics=_finite(_figures(tuned)),
        tags={
            "verdict": in_words(tuned),
            "adopted": str(tuned.adopted).lower(),
            "data": "simulated" if simulated else "real",
        },
        artifacts=tuple((path, PLOTS) for path in pictures),
        description=_page(tuned, n_seen, simulated=simulated),
        started_utc=started.astimezone(UTC),
        ended_utc=ended.astimezone(UTC),
    )


def _params(hyperparameters: Mapping[str, Any]) -> dict[str, str]:
    """Return hyperparameters as text, lists as they are configured."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in hyperparameters.items()
    }


def _finite(figures: Mapping[str, float | int | None]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in figures.items()
        if value is not None and math.isfinite(value)
    }


def _figures(tuned: "TunedModel") -> dict[str, float | int | None]:
    figures: dict[str, float | int | None] = {
        **{f"trials_{ending}": count for ending, count in tuned.trials.items()},
        "best_trial": tuned.best_trial,
        "adopted": float(tuned.adopted),
    }
    for name, compared in (("cv", tuned.cross_validated), ("later", tuned.later)):
        if compared is not None:
            for whose, score in (("default", compared.default), ("tuned", compared.tuned)):
                figures[f"{name}_log_loss_{whose}"] = score.log_loss
                figures[f"{name}_accuracy_{whose}"] = score.accuracy
    if tuned.adoption is not None:
        figures |= {"gain": tuned.adoption.gain, "p_value": tuned.adoption.p_value}
    return figures


def _page(tuned: "TunedModel", n_seen: int, *, simulated: bool) -> str:
    told = in_words(tuned)
    lines = [f"**{told[0].upper()}{told[1:]}**{' (simulated market)' if simulated else ''}", ""]
    seen = blocks_in_words(1, n_seen)
    lines += _compared(f"On {seen}, on which trials were compared", tuned.cross_validated)
    lines += _compared("On the blocks after them, which no trial has seen", tuned.later)
    return "\n".join(lines)


def _compared(where: str, compared: "Compared | None") -> Iterator[str]:
    if compared is not None:
        tuned, default = compared.tuned, compared.default
        yield (
            f"- {where}: log-loss {tuned.log_loss:.4f} (default {default.log_loss:.4f}), accuracy "
            f"{tuned.accuracy:.3f} (default {default.accuracy:.3f}), {tuned.rows} rows."
        )
