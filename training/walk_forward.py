"""One symbol, one model: out-of-fold predictions by walk-forward, then the deployed fit.

Every step of a model's strength path is fitted for every block, so that later blocks can learn
from it; of these a block is predicted by the one that the blocks before it taught.

Axes: N rows of development.
"""

import hashlib
import shutil
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from augmentation import NotAugmentedWarning
from market.bars import FloatArray
from market.samples import IntArray
from market.splits import Fold, Split, early_stopping_tail
from models.base import Augment, FitReport, Model, ModelError, StoppedError
from models.monitor import TrainingMonitor
from selection.calibration import Calibrated, walk_forward_calibration
from selection.metrics import PROBABILITY_FLOOR
from training.choices import AugmentationVerdict, Choice, Choices, StrengthVerdict
from training.task import Cpu, Failure, FitEnded, FoldOutcome, Task, Trained

NOTHING = np.zeros(0)
FINAL = "final fit"
AUGMENTED = " augmented"


@dataclass(frozen=True, slots=True)
class _Fit:
    model: Model
    report: FitReport
    train_accuracy: float


@dataclass(slots=True)
class _Told:
    """What was said during one fit."""

    warnings: dict[str, None] = field(default_factory=dict)
    not_augmented: str | None = None
    wall_s: float = 0.0


class Training:
    """One task under way: its fits one after another, and what is known of them so far."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._path = (task.model, *task.stronger)
        self._choices = Choices(task.split.development, len(self._path))
        self._under_way: str | None = None
        self._told: dict[str, _Told] = {}
        self._passed_over: set[str] = set()
        self._wall_s = 0.0
        self._cpu_s = {"fit": 0.0, "walk_forward": 0.0, "augmentation": 0.0}

    def fits(self) -> Iterator[FitEnded | Trained]:
        """Predict every block out of fold, fit the deployed model, and save it.

        Yields
        ------
        FitEnded or Trained
            The former after each fit, the latter last. No time is counted between two of them.

        Raises
        ------
        ModelError
            If validation or test could not be predicted, or the deployed fit failed.
        """
        split, development = self._task.split, self._task.split.development
        p_N = np.full(len(development), np.nan)
        base_rate_N = p_N.copy()
        outcomes = []
        last: _Fit | None = None
        for number, fold in enumerate(split.folds, start=1):
            outcome, last = yield from self._block(fold, f"fold {number}")
            outcomes.append(outcome)
            if outcome.error is None:
                p_N[fold.block] = outcome.p_N
                base_rate_N[fold.block] = outcome.base_rate
        if last is None or np.isnan(p_N[split.validation]).any():
            errors = [f"fold {k}: {one.error}" for k, one in enumerate(outcomes, 1) if one.error]
            raise ModelError(f"validation or test could not be predicted: {errors[-1]}")
        everything = np.arange(len(development))
        choice, deployed = outcomes[-1].choice, last
        if split.refits:
            choice = self._choice(everything)
            fold = Fold(everything, slice(len(development), len(development)), 0)
            with self._counted(FINAL, "fit"):
                deployed = self._fit(everything, choice, FINAL, FINAL)
            whole = self._outcome(fold, choice, deployed)
            yield self._ended(FINAL, whole, development.y_N[:0])
        calibrated = self._calibrated(p_N)
        with self._counted("saving", "fit"):
            if calibrated is not None:
                deployed.model.calibration = calibrated.final
            self._save(deployed.model)
            importance = deployed.model.importance()
        yield Trained(
            p_N=p_N,
            base_rate_N=base_rate_N,
            calibrated=calibrated,
            folds=tuple(outcomes),
            strength=self._strength_verdict(choice),
            augmentation=self._augmentation_verdict(everything, choice),
            hyperparameters=deployed.model.hyperparameters,
            final=deployed.report,
            importance=importance,
            warnings=self._warnings(),
            augmentation_failures=self._augmentation_failures(),
            duration_s=self._wall_s,
            cpu=Cpu(**self._cpu_s),
        )

    def failure(self, error: Exception) -> Failure:
        """Return what is known after ``fits`` raised."""
        sentence = " ".join(str(error).split())
        kind = "" if isinstance(error, ModelError) else f"{type(error).__name__}: "
        where = "" if self._under_way is None else f"{self._under_way}: "
        return Failure(
            error=f"{where}{kind}{sentence}",
            warnings=self._warnings(),
            augmentation_failures=self._augmentation_failures(),
            duration_s=self._wall_s,
            cpu=Cpu(**self._cpu_s),
        )

    def _block(
        self, fold: Fold, name: str
    ) -> Generator[FitEnded, None, tuple[FoldOutcome, _Fit | None]]:
        """Try every step on a block, and the chosen one with synthetic rows where that is open.

        Returns
        -------
        (FoldOutcome, _Fit or None)
            Of the fit that the block is predicted by.
        """
        choice = self._choice(fold.train_N)
        y_N = self._task.split.development.y_N[fold.block]
        always = self._task.augmentation == "always"
        tries = [Choice(step, always) for step in range(len(self._path))]
        twin = Choice(choice.step, augmented=True)
        if _is_paired(self._task, fold):
            tries.append(twin)
        done: dict[Choice, FoldOutcome] = {}
        used: _Fit | None = None
        for one in tries:
            draws_as = _fit_name(name, one.step)
            fit_name = f"{name}{AUGMENTED}" if one is twin else draws_as
            with self._counted(fit_name, "walk_forward"):
                done[one], fit = self._attempt(
                    fold, one, fit_name, draws_as, only_tried=one != choice
                )
            if one == choice:
                used = fit
            elif done[one].error is None:
                self._passed_over.add(fit_name)
            if one is not twin and done[one].error is None:
                self._choices.tried(one.step, fold.block, done[one].p_N)
            yield self._ended(fit_name, done[one], y_N)
        if twin in done and not always:
            pair = done[twin], done[Choice(choice.step, augmented=False)]
            if all(one.error is None for one in pair):
                self._choices.paired(fold.block, pair[0].p_N, pair[1].p_N)
        return done[choice], used

    def _choice(self, train_N: IntArray) -> Choice:
        """Return how to fit on these rows: as configured, or as the blocks among them taught."""
        taught = self._choices.after(train_N)
        match self._task.augmentation:
            case "none":
                augmented = False
            case "always":
                augmented = True
            case "adaptive":
                augmented = taught.augmented and _is_small(self._task, len(train_N))
        return Choice(taught.step, augmented)

    @contextmanager
    def _counted(self, name: str, part: Literal["fit", "walk_forward"]) -> Iterator[None]:
        """Count the time of a fit; one that raises stays the one under way."""
        start_s, start_cpu_s = time.monotonic(), time.process_time()
        augmented_s = self._cpu_s["augmentation"]
        self._under_way, self._told[name] = name, _Told()
        try:
            yield
            self._under_way = None
        finally:
            self._told[name].wall_s = time.monotonic() - start_s
            self._wall_s += self._told[name].wall_s
            spent_s = time.process_time() - start_cpu_s
            self._cpu_s[part] += spent_s - (self._cpu_s["augmentation"] - augmented_s)

    def _attempt(
        self, fold: Fold, choice: Choice, name: str, draws_as: str, *, only_tried: bool
    ) -> tuple[FoldOutcome, _Fit | None]:
        """Fit on a fold's training rows and predict its block; a fit that cannot be is told.

        One that the monitor stopped ends the task, unless it was only tried.
        """
        try:
            fit = self._fit(fold.train_N, choice, name, draws_as)
        except ModelError as error:
            if isinstance(error, StoppedError) and not only_tried:
                raise
            sentence = " ".join(str(error).split())
            self._told[name].warnings[f"{name}: {sentence}"] = None
            return self._outcome(fold, choice, None, sentence), None
        return self._outcome(fold, choice, fit), fit

    def _outcome(
        self, fold: Fold, choice: Choice, fit: _Fit | None, error: str | None = None
    ) -> FoldOutcome:
        development, train_N = self._task.split.development, fold.train_N
        y_N, weight_N = development.y_N[train_N], development.weight_N[train_N]
        p_N = NOTHING
        if fit is not None:
            before = development.x_NF[: fold.block.start]
            p_N = fit.model.predict_proba(development.x_NF[fold.block], before)[:, 1]
        return FoldOutcome(
            choice=choice,
            n_train=len(train_N),
            n_purged=fold.n_purged,
            base_rate=float(np.average(y_N, weights=weight_N)) if len(train_N) else np.nan,
            train_accuracy=np.nan if fit is None else fit.train_accuracy,
            p_N=p_N,
            error=error,
        )

    def _fit(self, rows: IntArray, choice: Choice, name: str, draws_as: str) -> _Fit:
        """Fit a fresh model on rows of development.

        Two fits that ``draws_as`` the same name differ in nothing but synthetic rows.
        """
        task, configured = self._task, self._path[choice.step]
        train, tail = task.split.development.take(rows), None
        if len(train) and configured.stops_early(len(train)):
            train, tail = early_stopping_tail(train, task.early_stopping_fraction)
        key = (task.symbol, task.model.name, draws_as)
        monitor = task.new_monitor()
        model = configured.fresh()
        with self._warnings_kept(name, monitor):
            report = model.fit(
                train,
                tail,
                rng=generator(task.seed, *key),
                monitor=monitor,
                augment=self._augment(name, key) if choice.augmented else None,
            )
        p_N = model.predict_proba(train.x_NF)[:, 1]
        return _Fit(model, report, _accuracy(p_N, train.y_N))

    def _augment(self, name: str, key: tuple[str, ...]) -> Augment:
        seed = int(generator(self._task.seed, *key, "augmentation").integers(2**31))

        def timed(x: Any, y: Any) -> tuple[Any, Any]:
            start_s = time.process_time()
            try:
                return self._task.new_augmenter(seed=seed).augment(x, y)
            except Exception as error:  # noqa: BLE001 - a fit can do without its augmentation
                reason = f"{type(error).__name__}: {error}"
                warnings.warn(NotAugmentedWarning(len(x), reason), stacklevel=2)
                return x, y
            finally:
                self._cpu_s["augmentation"] += time.process_time() - start_s

        return timed

    @contextmanager
    def _warnings_kept(self, name: str, monitor: TrainingMonitor) -> Iterator[None]:
        """Keep what is warned of during a fit, one that fails included."""
        told = self._told[name]
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
                for sentence in monitor.get_warnings():
                    told.warnings[f"{name}: {sentence}"] = None

    def _ended(self, name: str, outcome: FoldOutcome, y_N: IntArray) -> FitEnded:
        told = self._told[name]
        return FitEnded(
            name=name,
            n_train=outcome.n_train,
            n_purged=outcome.n_purged,
            train_accuracy=outcome.train_accuracy,
            accuracy=_accuracy(outcome.p_N, y_N) if len(outcome.p_N) else np.nan,
            wall_s=told.wall_s,
            warnings=tuple(told.warnings),
            augmentation_failure=told.not_augmented,
            error=outcome.error,
        )

    def _relevant(self) -> Iterator[_Told]:
        """Yield what was said during the fits that count, and during those that failed."""
        return (one for name, one in self._told.items() if name not in self._passed_over)

    def _warnings(self) -> tuple[str, ...]:
        return tuple(sentence for one in self._relevant() for sentence in one.warnings)

    def _augmentation_failures(self) -> tuple[str, ...]:
        return tuple(one.not_augmented for one in self._relevant() if one.not_augmented)

    def _calibrated(self, p_N: FloatArray) -> Calibrated | None:
        if not self._task.calibrates:
            return None
        split, development = self._task.split, self._task.split.development
        block_N = block_numbers(split)
        rows = np.flatnonzero(~np.isnan(p_N))
        # A model may be certain, and certainty has no log-odds to fit on.
        known_N = np.clip(p_N[rows], PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
        return walk_forward_calibration(
            np.log(known_N) - np.log1p(-known_N),
            development.y_N[rows],
            development.weight_N[rows],
            block_N[rows],
            development.t0_N[rows],
            development.t1_N[rows],
        )

    def _augmentation_verdict(self, rows: IntArray, choice: Choice) -> AugmentationVerdict | None:
        if self._task.augmentation != "adaptive":
            return None
        # What helped the smaller fits is not given to a deployed one that has rows enough.
        return replace(self._choices.augmentation(rows), adopted=choice.augmented)

    def _strength_verdict(self, choice: Choice) -> StrengthVerdict:
        own = self._task.model.hyperparameters
        steps = (
            {name: value for name, value in one.hyperparameters.items() if value != own[name]}
            for one in self._path
        )
        losses = self._choices.log_losses([fold.block for fold in self._task.split.folds])
        return StrengthVerdict(choice.step, tuple(steps), tuple(losses))

    def _save(self, model: Model) -> None:
        if self._task.folder is None:
            return
        # Whatever an earlier run left there would be deployed along.
        shutil.rmtree(self._task.folder, ignore_errors=True)
        model.save(self._task.folder)


def fit_names(task: Task) -> list[str]:
    """Return the name of every fit of a task, in the order in which they are made."""
    names = []
    for number, fold in enumerate(task.split.folds, start=1):
        names += [_fit_name(f"fold {number}", step) for step in range(1 + len(task.stronger))]
        names += [f"fold {number}{AUGMENTED}"] if _is_paired(task, fold) else []
    return [*names, FINAL] if task.split.refits else names


def block_numbers(split: Split) -> IntArray:
    """Return the number of the fold that predicts each row of development; -1 where none does."""
    block_N = np.full(len(split.development), -1)
    for number, fold in enumerate(split.folds):
        block_N[fold.block] = number
    return block_N


def generator(seed: int, *key: str) -> np.random.Generator:
    """Return the random generator of one fit: the same wherever and whenever it runs."""
    digest = hashlib.sha256("\n".join([str(seed), *key]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16]))


def _fit_name(name: str, step: int) -> str:
    return f"{name} step {step}" if step else name


def _is_paired(task: Task, fold: Fold) -> bool:
    """Return whether a block is predicted with and without synthetic rows."""
    return task.augmentation == "adaptive" and _is_small(task, len(fold.train_N))


def _is_small(task: Task, n_rows: int) -> bool:
    """Return whether a fit on so many rows, less those that stop it early, would be augmented."""
    if task.model.stops_early(n_rows):
        n_rows -= max(1, round(n_rows * task.early_stopping_fraction))
    return n_rows < task.new_augmenter(seed=task.seed).threshold


def _accuracy(p_N: FloatArray, y_N: IntArray) -> float:
    return float(np.mean((p_N >= 0.5) == (y_N == 1)))
