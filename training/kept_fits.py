"""What earlier starts made of one task, read back as the walk-forward wants it.

Axes: N rows of a block.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from market.bars import FloatArray
from models.base import FitReport
from models.net import Net
from training.choices import Choice
from training.fit_plan import FINAL
from training.fitting import Fit, Told
from training.task import FoldOutcome, Keeping, Task
from training.units import Unit, Units


@dataclass(frozen=True, slots=True)
class KeptFit:
    """What is left of a fit that predicted a block, or why there was none."""

    train_accuracy: float
    p_N: FloatArray
    error: str | None
    told: Told


@dataclass(frozen=True, slots=True)
class KeptFinal:
    """What is left of the deployed fit, whose files are whole."""

    train_accuracy: float
    report: FitReport
    importance: dict[str, float] | None
    told: Told


class KeptFits:
    """The finished fits of one task; nothing is kept or found where the task says so."""

    def __init__(self, task: Task) -> None:
        self._folder = task.folder
        self._kept_now: set[str] = set()
        keeping = task.keeping
        self._units = None if keeping is None else Units(keeping.folder, _key(task, keeping))

    def get(self, name: str, choice: Choice) -> KeptFit | None:
        """Return what is kept of a fit that was made in this way."""
        unit = self._made(name, choice)
        if unit is None:
            return None
        facts = unit.facts
        return KeptFit(facts["train_accuracy"], unit.p_N, facts["error"], _told(facts))

    def keep(self, made: Mapping[str, tuple[FoldOutcome, Told]]) -> None:
        """Keep what blocks were predicted by, once; raises OSError where it cannot be written."""
        new = {name: one for name, one in made.items() if name not in self._kept_now}
        if self._units is not None and new:
            self._kept_now |= new.keys()
            units = {name: _unit(outcome, told) for name, (outcome, told) in new.items()}
            self._units.keep(units, took_s=sum(told.wall_s for _, told in new.values()))

    def final(self, choice: Choice) -> KeptFinal | None:
        """Return what is kept of the deployed fit, if its files are still as they were saved."""
        unit = self._made(FINAL, choice)
        if unit is None or unit.facts["files"] != _digests(self._folder, unit.facts["files"]):
            return None
        facts = unit.facts
        report = FitReport(**facts["report"])
        return KeptFinal(facts["train_accuracy"], report, facts["importance"], _told(facts))

    def keep_final(
        self, choice: Choice, fit: Fit, importance: dict[str, float] | None, told: Told
    ) -> None:
        """Keep the deployed fit, whose files have been saved; raises OSError as `keep`."""
        if self._units is None:
            return
        facts = {
            "train_accuracy": fit.train_accuracy,
            "report": asdict(fit.report),
            "importance": importance,
            "files": _digests(self._folder, _files_in(self._folder)),
        }
        self._units.keep({FINAL: Unit(_facts(choice, told) | facts)}, took_s=told.wall_s)

    def close(self) -> None:
        """Bring everything to the disk."""
        if self._units is not None:
            self._units.close()

    def _made(self, name: str, choice: Choice) -> Unit | None:
        unit = None if self._units is None else self._units.get(name)
        made = unit is not None and unit.facts["choice"] == asdict(choice)
        return unit if made else None


def _key(task: Task, keeping: Keeping) -> str:
    """Return the key of fits made here: a net's are others where a graphics card makes them."""
    if isinstance(task.model, Net):
        import torch

        if torch.cuda.is_available():
            return hashlib.sha256(f"{keeping.key} cuda".encode()).hexdigest()
    return keeping.key


def _unit(outcome: FoldOutcome, told: Told) -> Unit:
    facts = {"train_accuracy": outcome.train_accuracy, "error": outcome.error}
    return Unit(_facts(outcome.choice, told) | facts, outcome.p_N)


def _facts(choice: Choice, told: Told) -> dict[str, Any]:
    return {"choice": asdict(choice), "told": {**asdict(told), "warnings": list(told.warnings)}}


def _told(facts: dict[str, Any]) -> Told:
    told = facts["told"]
    return Told(**{**told, "warnings": dict.fromkeys(told["warnings"])})


def _files_in(folder: Path | None) -> list[str]:
    if folder is None:
        return []
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path.relative_to(folder).as_posix() for path in paths]


def _digests(folder: Path | None, names: Iterable[str]) -> dict[str, str | None]:
    """Return the SHA-256 of each file, None for one that is not there."""
    if folder is None:
        return {}
    paths = {name: folder / name for name in names}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        for name, path in paths.items()
    }
