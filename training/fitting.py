"""The fits of one task: made alone or, nets of one kind, together; and the account of each.

Axes: N rows of development.
"""

import hashlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from augmentation import NotAugmentedWarning
from market.bars import FloatArray
from market.samples import IntArray, Samples
from market.splits import early_stopping_tail
from models.base import Augment, FitReport, Model, ModelError
from models.monitor import TrainingMonitor
from models.net import Begun, Net
from training.choices import Choice
from training.task import Cpu, Task

Part = Literal["fit", "walk_forward"]


@dataclass(frozen=True, slots=True)
class Planned:
    """One fit to be made.

    Attributes
    ----------
    name : str
        No other fit of the task has it.
    draws_as : str
        Two fits that draw as the same name differ in nothing but synthetic rows.
    rows : int64 array
        Of development.
    choice : Choice
    """

    name: str
    draws_as: str
    rows: IntArray
    choice: Choice


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted model."""

    model: Model
    report: FitReport
    train_accuracy: float


@dataclass(slots=True)
class Told:
    """What was said during one fit, and what it took; its CPU seconds are without augmentation."""

    warnings: dict[str, None] = field(default_factory=dict)
    not_augmented: str | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    augmentation_s: float = 0.0


@dataclass(slots=True)
class _Spent:
    """Time spent; without what augmentation took of the processor's."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


class Fitting:
    """Makes fits and keeps account of what each took and said.

    Parameters
    ----------
    task : Task
    known : sequence of Planned
        Fits that will be made whatever comes of any other: nets of them are trained together, all
        of one step of the strength path when the first of them is wanted.
    made_together : callable
        Called with the fits of such a group, and what was said of each, as soon as they are made.
    """

    def __init__(
        self,
        task: Task,
        known: Sequence[Planned] = (),
        made_together: Callable[[list[tuple[Planned, Fit, Told]]], None] = lambda _: None,
    ) -> None:
        self.told: dict[str, Told] = {}
        self.under_way: str | None = None
        self.wall_s = 0.0
        self._task = task
        self._path = (task.model, *task.stronger)
        self._known = {one.name: one for one in known if isinstance(task.model, Net)}
        self._made_together = made_together
        # What became of fits that nobody has asked for yet, and what was said during them.
        self._made: dict[str, Fit | ModelError] = {}
        self._beforehand: dict[str, Told] = {}
        self._cpu_s = {"fit": 0.0, "walk_forward": 0.0, "augmentation": 0.0}
        # Of fits that were made together: each one's share of the time, and the time of all.
        self._shares: dict[str, _Spent] = {}
        self._together = _Spent()

    @property
    def cpu(self) -> Cpu:
        """Processor seconds so far, those of fits that nobody has asked for included."""
        unclaimed_s = sum(one.cpu_s for one in self._shares.values())
        walk_forward_s = self._cpu_s["walk_forward"] + unclaimed_s
        return Cpu(self._cpu_s["fit"], walk_forward_s, self._cpu_s["augmentation"])

    @contextmanager
    def counted(self, name: str, part: Part) -> Iterator[None]:
        """Count the time of a fit; one that raises stays the one under way."""
        start, augmentation_s = self._clock(), self._cpu_s["augmentation"]
        self.under_way, self._together = name, _Spent()
        told = self.told[name] = self._beforehand.pop(name, Told())
        try:
            yield
            self.under_way = None
        finally:
            share, now = self._shares.pop(name, _Spent()), self._clock()
            told.wall_s = now.wall_s - start.wall_s - self._together.wall_s + share.wall_s
            told.cpu_s = now.cpu_s - start.cpu_s - self._together.cpu_s + share.cpu_s
            told.augmentation_s = self._cpu_s["augmentation"] - augmentation_s
            self.wall_s += told.wall_s
            self._cpu_s[part] += told.cpu_s

    def take_over(self, name: str, part: Part, told: Told) -> None:
        """Count a fit that an earlier start has made."""
        self.told[name] = told
        self.wall_s += told.wall_s
        self._cpu_s[part] += told.cpu_s
        self._cpu_s["augmentation"] += told.augmentation_s

    def holds(self, name: str) -> bool:
        """Return whether a fit has been made that nobody has asked for yet."""
        return name in self._made

    def fit(self, planned: Planned) -> Fit:
        """Fit a fresh model on rows of development; raises what the model's fit raises."""
        if planned.name in self._known:
            self._fit_together(planned.choice)
        made = self._made.pop(planned.name, None)
        if isinstance(made, ModelError):
            raise made
        return made or self._fit_alone(planned)

    def _fit_alone(self, planned: Planned) -> Fit:
        model, monitor = self._path[planned.choice.step].fresh(), self._task.new_monitor()
        train, tail = self._rows(planned, model)
        with self._warnings_kept(planned.name, monitor):
            report = model.fit(train, tail, **self._means(planned, monitor))
        return _fitted(model, report, train)

    def _fit_together(self, choice: Choice) -> None:
        """Make all known fits of one choice; what became of each is asked for later."""
        group = [one for one in self._known.values() if one.choice == choice]
        start, begun = self._clock(), dict[str, Begun]()
        for planned in group:
            del self._known[planned.name]
            with self._kept(planned):
                begun[planned.name] = self._begun(planned)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if begun:
                Net.train_together(list(begun.values()))
        for planned in group:
            if planned.name in begun:
                with self._kept(planned, begun[planned.name].lane.monitor):
                    # Nobody knows whose it was.
                    for said in caught:
                        warnings.warn_explicit(
                            said.message, said.category, said.filename, said.lineno
                        )
                    one = begun[planned.name]
                    report = one.model.finish(one)
                    self._made[planned.name] = _fitted(one.model, report, one.train)
        now = self._clock()
        self._together = _Spent(now.wall_s - start.wall_s, now.cpu_s - start.cpu_s)
        work = {name: len(one.lane.fitted) * one.n_epochs for name, one in begun.items()}
        for name, rows in work.items():
            share = rows / max(1, sum(work.values()))
            spent = self._together
            self._shares[name] = _Spent(share * spent.wall_s, share * spent.cpu_s)
        made_now = []
        for planned in group:
            if isinstance(made := self._made.get(planned.name), Fit):
                spent, told = self._shares[planned.name], self._said_of(planned.name)
                told = replace(told, wall_s=spent.wall_s, cpu_s=spent.cpu_s)
                made_now.append((planned, made, told))
        self._made_together(made_now)

    def _begun(self, planned: Planned) -> Begun:
        model, monitor = self._path[planned.choice.step].fresh(), self._task.new_monitor()
        assert isinstance(model, Net)  # noqa: S101 - only these are known beforehand
        train, tail = self._rows(planned, model)
        return model.begin(train, tail, **self._means(planned, monitor))

    @contextmanager
    def _kept(self, planned: Planned, monitor: TrainingMonitor | None = None) -> Iterator[None]:
        """Keep warnings, and the error of a fit that fails, until it is asked for."""
        try:
            with self._warnings_kept(planned.name, monitor):
                yield
        except ModelError as error:
            self._made[planned.name] = error

    def _rows(self, planned: Planned, model: Model) -> tuple[Samples, Samples | None]:
        train = self._task.split.development.take(planned.rows)
        if len(train) and model.stops_early(len(train)):
            return early_stopping_tail(train, self._task.early_stopping_fraction)
        return train, None

    def _means(self, planned: Planned, monitor: TrainingMonitor) -> dict[str, Any]:
        """Return what a fit is made with besides its rows."""
        key = (self._task.symbol, self._task.model.name, planned.draws_as)
        augment = self._augment(key) if planned.choice.augmented else None
        rng = generator(self._task.seed, *key)
        return {"rng": rng, "monitor": monitor, "augment": augment}

    def _augment(self, key: tuple[str, ...]) -> Augment:
        seed = int(generator(self._task.seed, *key, "augmentation").integers(2**31))

        def timed(x: Any, y: Any) -> tuple[Any, Any]:
            start_s = time.process_time()
            try:
                return self._task.new_augmenter(seed=seed).augment(x, y)
            except (MemoryError, OSError):
                # Of the moment: the same fit would be made otherwise at another time.
                raise
            except Exception as error:  # noqa: BLE001 - a fit can do without its augmentation
                reason = f"{type(error).__name__}: {error}"
                warnings.warn(NotAugmentedWarning(len(x), reason), stacklevel=2)
                return x, y
            finally:
                self._cpu_s["augmentation"] += time.process_time() - start_s

        return timed

    @contextmanager
    def _warnings_kept(self, name: str, monitor: TrainingMonitor | None) -> Iterator[None]:
        """Keep what is warned of during a fit, one that fails included."""
        told = self._said_of(name)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            finally:
                for one in caught:
                    sentence = f"{name}: {' '.join(str(one.message).split())}"
                    told.warnings[sentence] = None
                    if issubclass(one.category, NotAugmentedWarning):
                        told.not_augmented = told.not_augmented or sentence
                for sentence in monitor.get_warnings() if monitor else ():
                    told.warnings[f"{name}: {sentence}"] = None

    def _said_of(self, name: str) -> Told:
        return self.told.get(name) or self._beforehand.setdefault(name, Told())

    def _clock(self) -> _Spent:
        return _Spent(time.monotonic(), time.process_time() - self._cpu_s["augmentation"])


def generator(seed: int, *key: str) -> np.random.Generator:
    """Return the random generator of one fit: the same wherever and whenever it runs."""
    digest = hashlib.sha256("\n".join([str(seed), *key]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16]))


def accuracy(p_N: FloatArray, y_N: IntArray) -> float:
    """Return the share of rows whose more probable class is the true one."""
    return float(np.mean((p_N >= 0.5) == (y_N == 1)))


def _fitted(model: Model, report: FitReport, train: Samples) -> Fit:
    p_N = model.predict_proba(train.x_NF)[:, 1]
    return Fit(model, report, accuracy(p_N, train.y_N))
