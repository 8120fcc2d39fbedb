"""What a learning's summary, its page and the tracker are told."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from exits.data_report import DataReport
from exits.decision_rows import DecisionRows
from exits.effects import DecisionStates, Effect, effects
from exits.evidence import ParameterEvidence
from exits.exit_model_file import DESCRIPTION, read_description
from exits.feature_table import INDEX as FEATURE
from exits.learning import Learnt
from exits.parameters import defaults
from exits.simple_learning import SimpleLearning
from exits.simple_learning_file import FILE
from market.bars import FloatArray
from pipelines.command import ConfigError
from pipelines.train_exits_settings import TrainExitsSettings
from selection.json_safe import to_json_safe
from tracking.records import ModelRecord

HINDSIGHT = (
    "It has seen how its trades ended (exits.allow_hindsight=true): its figures cannot be had by "
    "anybody who trades, and it cannot be loaded for trading"
)
NET = "ExitParamsNet"
_SUMMARIES = "summary.json"
_MOST_NAMED = 4
# What pictures show a parameter by, beside regime and session.
_SHOWN = {
    "r at the decision": None,
    "RSI": "market_state.rsi",
    "distance from the day's VWAP, ATR": "market_state.vwap_distance",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A learning, and all that it was made from.

    Attributes
    ----------
    settings : TrainExitsSettings
    conf_digest : str
    started : datetime
        With its zone.
    simulated : bool or None
        Whether the experiences are of a simulated market; None where nothing says.
    folder, model_dir : Path
    report : DataReport
    learnt : Learnt
    simple : SimpleLearning
    effects : tuple of Effect
        What the net moves most from the defaults, over all rows.
    """

    settings: TrainExitsSettings
    conf_digest: str
    started: datetime
    simulated: bool | None
    folder: Path
    model_dir: Path
    report: DataReport
    learnt: Learnt
    simple: SimpleLearning
    effects: tuple[Effect, ...]

    @property
    def identified(self) -> list[ParameterEvidence]:
        """What the data can identify, the strongest effect first."""
        found = [one for one in self.learnt.evidence if one.identified]
        return sorted(found, key=lambda one: (-abs(one.effect_r), one.p_value, -one.gain))

    @property
    def shown_settings(self) -> dict[str, Any]:
        """How it was learnt, as names and values."""
        settings = asdict(self.settings.learning)
        return {**{key: one for key, one in settings.items() if key != "net"}, **settings["net"]}

    @property
    def trained_until(self) -> datetime:
        """When the last trade that was learnt from had ended, UTC."""
        return _moment(self.learnt.model.trained_until)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceGroup:
    """Parameters of which the data say the same.

    Attributes
    ----------
    why : str
    identified : bool
    names : list of str
        Those of the largest gain first.
    effect_r : float
        Mean of their effects.
    gain : float
        Mean of their gains.
    """

    why: str
    identified: bool
    names: list[str]
    effect_r: float
    gain: float


def groups(learnt: Learnt) -> list[EvidenceGroup]:
    """Return what the data say, each with the parameters that they say it of, the identified first.

    What the others stay at is left out.
    """
    found: dict[tuple[bool, str], list[ParameterEvidence]] = {}
    for one in sorted(learnt.evidence, key=lambda one: -one.gain):
        found.setdefault((one.identified, one.why.partition(";")[0]), []).append(one)
    listed = [
        EvidenceGroup(
            why=why,
            identified=identified,
            names=[one.name for one in some],
            effect_r=float(np.mean([one.effect_r for one in some])),
            gain=float(np.mean([one.gain for one in some])),
        )
        for (identified, why), some in found.items()
    ]
    return sorted(listed, key=lambda one: (not one.identified, -len(one.names), one.why))


def simulated(files: Sequence[Path]) -> bool | None:
    """Return whether experiences are of a simulated market, as the summaries beside them say."""
    found = {_simulated(path.parent / _SUMMARIES) for path in files}
    if True in found:
        return True
    return False if found == {False} else None


def market_of(report: DataReport, beside: bool | None) -> bool | None:
    """Return the same as the experiences themselves say; what lies ``beside`` where none does.

    Raises
    ------
    ConfigError
        If some are of a simulated market, and some of real prices.
    """
    said = {one for one in report.simulated if one is not None}
    if len(said) > 1:
        n_simulated, n_real = report.simulated[True], report.simulated[False]
        raise ConfigError(
            f"experiences: {n_simulated:,} are of a simulated market and {n_real:,} of real "
            "prices; learn from one kind"
        )
    return next(iter(said), beside)


def _simulated(path: Path) -> bool | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))["simulated"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return said if isinstance(said, bool) else None


def effects_of(rows: DecisionRows, learnt: Learnt) -> tuple[Effect, ...]:
    """Return what the model moves most from the defaults, in the states that it was shown."""
    known_N = np.isfinite(rows.atr_N) & (rows.atr_N > 0)
    x_KF, atr_K, trade_K = rows.x_NF[known_N], rows.atr_N[known_N], rows.trade_N[known_N]
    numbers: dict[str, FloatArray] = {
        words: rows.r_N[known_N] if name is None else x_KF[:, FEATURE[name]]
        for words, name in _SHOWN.items()
    }
    states = DecisionStates(
        regime_K=rows.regime_M[trade_K],
        session_K=x_KF[:, FEATURE["session"]].astype(np.int64),
        side_K=x_KF[:, FEATURE["side"]].astype(np.int64),
        numbers=numbers,
    )
    # What exploring held otherwise than the defaults is no change that the net makes.
    decided_KP = np.where(
        learnt.model.identified_P, learnt.model.decide(x_KF, atr_K), defaults(atr_K)
    )
    return effects(decided_KP, atr_K, states)


def verdict(told: Told) -> str:
    """Return in one sentence what was learnt."""
    n, of = len(told.identified), len(told.learnt.evidence)
    if not n:
        return f"Nothing was learnt: the data identify none of {of} parameters, and all stay as set"
    names = ", ".join(one.name for one in told.identified)
    named = f" ({names})" if n <= _MOST_NAMED else ""
    return f"{n} of {of} parameters can be identified{named}; the others stay as set"


def number(value: float | None, pattern: str) -> str:
    """Return a number as text; nothing where it is none."""
    return "" if value is None or not math.isfinite(value) else f"{value:{pattern}}"


def data_in_words(report: DataReport) -> str:
    """Return in one line what was read."""
    found = report.to_json()
    n_files = len(found["files"])
    files = "1 file" if n_files == 1 else f"{n_files} files"
    return f"{found['used']:,} of {found['records']:,} records used, of {files}"


def report_lines(report: DataReport) -> Iterator[tuple[str, str, str]]:
    """Yield what was read: what, how many, and what else is to be said of it."""
    yield "records", f"{report.records:,}", ""
    yield "used", f"{report.used:,}", _listed(report.generations, "with {} parameters")
    rejected = sum(report.rejected.values())
    if rejected:
        yield "rejected", f"{rejected:,}", _listed(report.rejected, "{}")
    for what in ("duplicates", "without_history"):
        if n := getattr(report, what):
            yield what.replace("_", " "), f"{n:,}", ""


def _listed(counts: Mapping[Any, int], pattern: str) -> str:
    return ", ".join(f"{n:,} {pattern.format(name)}" for name, n in counts.items())


def _numbers(learnt: Learnt) -> dict[str, int]:
    return {
        "trades_train": learnt.n_train.trades,
        "trades_validation": learnt.n_validation.trades,
        "rows_train": learnt.n_train.rows,
        "rows_validation": learnt.n_validation.rows,
    }


def _moment(time: np.datetime64) -> datetime:
    moment: datetime = time.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)


def summary(told: Told) -> dict[str, Any]:
    """Return what there is to know of a learning, for a file."""
    learnt, settings = told.learnt, told.settings
    return {
        "started": told.started,
        "conf_digest": told.conf_digest,
        "experiences": settings.files,
        "simulated": told.simulated,
        "seed": settings.seed,
        "hindsight": learnt.hindsight,
        "verdict": verdict(told),
        "model": told.model_dir,
        "trained_until": told.trained_until,
        **_numbers(learnt),
        "split": _moment(learnt.split_time),
        "copy_test": learnt.copy_test,
        "curves": learnt.curves,
        "facts": learnt.model.facts,
        "effects": [one.to_json() for one in told.effects],
        "data": told.report.to_json(),
    }


def evidence(told: Told) -> dict[str, Any]:
    """Return what the data can identify, parameter by parameter, for a file."""
    return {"hindsight": told.learnt.hindsight, "parameters": list(told.learnt.evidence)}


def ended(told: Told, files: Sequence[Path]) -> dict[str, Any]:
    """Return the last facts that the tracker is told."""
    learnt = told.learnt
    tags = {
        "verdict": verdict(told),
        "hindsight": str(learnt.hindsight).lower(),
        "model": str(told.model_dir),
        "trained_until": told.trained_until.isoformat(),
    }
    model_files = [told.model_dir / name for name in _model_files(told)]
    return {
        "metrics": metrics(told),
        "tags": tags,
        "artifacts": [*((path, "") for path in files), *((path, "model") for path in model_files)],
        "name": run_name(told.settings.name, told.started, told),
        "description": description(told),
    }


def _model_files(told: Told) -> list[str]:
    """Return the names of what belongs to the model: the one before it may lie there too."""
    net = read_description(told.model_dir).net.name
    return [DESCRIPTION, net, *([] if told.learnt.hindsight else [FILE])]


def metrics(told: Told) -> dict[str, float]:
    """Return the figures that learnings are compared by."""
    learnt = told.learnt
    found = {
        "val_loss": learnt.val_loss,
        "best_epoch": float(learnt.best_epoch),
        "identified": float(len(told.identified)),
        "records": float(told.report.used),
        **{name: float(value) for name, value in _numbers(learnt).items()},
        **{f"copy_test_{name}": value for name, value in asdict(learnt.copy_test).items()},
        **{f"effect_r_{one.name}": one.effect_r for one in told.identified},
    }
    return {name: value for name, value in found.items() if math.isfinite(value)}


def child(told: Told, ended_utc: datetime) -> ModelRecord:
    """Return the run beneath the command's that has the curves, epoch by epoch."""
    return ModelRecord(
        symbol=NET,
        model=NET,
        params={key: str(value) for key, value in told.shown_settings.items()},
        tags={"hindsight": str(told.learnt.hindsight).lower(), "verdict": verdict(told)},
        metrics={"val_loss": told.learnt.val_loss, "best_epoch": float(told.learnt.best_epoch)},
        curves={f"per_epoch/{name}": one for name, one in told.learnt.curves.items()},
        result_json_name="curves.json",
        result_json=json.dumps(to_json_safe(told.learnt.curves), indent=2, allow_nan=False),
        dataset=None,
        artifact_folder=None,
        loader_module="",
        pip_requirements=(),
        features=(),
        input_example=None,
        error=None,
        started_utc=told.started,
        ended_utc=ended_utc,
        figures=None,
        registered_name=None,
        registered_description="",
    )


def description(told: Told) -> str:
    """Return the page of the run, in Markdown."""
    lines = [f"**{verdict(told)}**", "", data_in_words(told.report) + "."]
    if told.learnt.hindsight:
        lines += ["", f"{HINDSIGHT}."]
    if told.simulated:
        lines += ["", "The market is simulated: nothing here is of real prices."]
    lines += ["", *(f"- {one.name}: {one.why}" for one in told.identified)]
    return "\n".join(lines)


def run_name(name: str, started: datetime, told: Told | None) -> str:
    """Return a name that tells learnings apart in a narrow column: first what came of it."""
    moment = started.astimezone(UTC).strftime("%m-%d %H:%M:%S")
    outcome = "learning" if told is None else f"{len(told.identified)} identified"
    hindsight = " · hindsight" if told is not None and told.learnt.hindsight else ""
    return f"{outcome} · {moment}{hindsight} · {name}"
