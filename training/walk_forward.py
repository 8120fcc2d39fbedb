"""One symbol, one model: out-of-fold predictions by walk-forward, then the deployed fit.

Every step of a model's strength path is fitted for every block, so that later blocks can learn
from it; of these a block is predicted by the one that the blocks before it taught.

Axes: N rows of development.
"""

import shutil
from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray
from market.splits import Fold, Split
from models.base import Model, ModelError, StoppedError
from selection.calibration import Calibrated, walk_forward_calibration
from selection.metrics import PROBABILITY_FLOOR
from training.choices import AugmentationVerdict, Choice, Choices, StrengthVerdict
from training.fitting import Fit, Fitting, Planned, Told, accuracy
from training.task import Failure, FitEnded, FoldOutcome, Task, Trained

NOTHING = np.zeros(0)
FINAL = "final fit"
AUGMENTED = " augmented"


class Training:
    """One task under way: its fits one after another, and what is known of them so far."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._path = (task.model, *task.stronger)
        self._choices = Choices(task.split.development, len(self._path))
        self._everything = np.arange(len(task.split.development))
        self._fitting = Fitting(task, self._known())
        self._passed_over: set[str] = set()

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
        last: Fit | None = None
        for number, fold in enumerate(split.folds, start=1):
            outcome, last = yield from self._block(fold, f"fold {number}")
            outcomes.append(outcome)
            if outcome.error is None:
                p_N[fold.block] = outcome.p_N
                base_rate_N[fold.block] = outcome.base_rate
        if last is None or np.isnan(p_N[split.validation]).any():
            errors = [f"fold {k}: {one.error}" for k, one in enumerate(outcomes, 1) if one.error]
            raise ModelError(f"validation or test could not be predicted: {errors[-1]}")
        choice, deployed = outcomes[-1].choice, last
        if split.refits:
            choice = self._choice(self._everything)
            fold = Fold(self._everything, slice(len(development), len(development)), 0)
            with self._fitting.counted(FINAL, "fit"):
                deployed = self._fitting.fit(Planned(FINAL, FINAL, self._everything, choice))
            whole = self._outcome(fold, choice, deployed)
            yield self._ended(FINAL, whole, development.y_N[:0])
        calibrated = self._calibrated(p_N)
        with self._fitting.counted("saving", "fit"):
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
            augmentation=self._augmentation_verdict(self._everything, choice),
            hyperparameters=deployed.model.hyperparameters,
            final=deployed.report,
            importance=importance,
            warnings=self._warnings(),
            augmentation_failures=self._augmentation_failures(),
            duration_s=self._fitting.wall_s,
            cpu=self._fitting.cpu,
        )

    def failure(self, error: Exception) -> Failure:
        """Return what is known after ``fits`` raised."""
        sentence = " ".join(str(error).split())
        kind = "" if isinstance(error, ModelError) else f"{type(error).__name__}: "
        under_way = self._fitting.under_way
        where = "" if under_way is None else f"{under_way}: "
        return Failure(
            error=f"{where}{kind}{sentence}",
            warnings=self._warnings(),
            augmentation_failures=self._augmentation_failures(),
            duration_s=self._fitting.wall_s,
            cpu=self._fitting.cpu,
        )

    def _block(
        self, fold: Fold, name: str
    ) -> Generator[FitEnded, None, tuple[FoldOutcome, Fit | None]]:
        """Try every step on a block, and the chosen one with synthetic rows where that is open.

        Returns
        -------
        (FoldOutcome, Fit or None)
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
        used: Fit | None = None
        for one in tries:
            draws_as = _fit_name(name, one.step)
            fit_name = f"{name}{AUGMENTED}" if one is twin else draws_as
            planned = Planned(fit_name, draws_as, fold.train_N, one)
            with self._fitting.counted(fit_name, "walk_forward"):
                done[one], fit = self._attempt(fold, planned, only_tried=one != choice)
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

    def _known(self) -> list[Planned]:
        """Return the fits whose choice hangs on no other fit."""
        task, always = self._task, self._task.augmentation == "always"
        planned = []
        for number, fold in enumerate(task.split.folds, start=1):
            for step in range(len(self._path)):
                name = _fit_name(f"fold {number}", step)
                planned.append(Planned(name, name, fold.train_N, Choice(step, always)))
        is_open = task.augmentation == "adaptive" and _is_small(task, len(self._everything))
        if task.split.refits and not task.stronger and not is_open:
            planned.append(Planned(FINAL, FINAL, self._everything, Choice(0, always)))
        return planned

    def _attempt(
        self, fold: Fold, planned: Planned, *, only_tried: bool
    ) -> tuple[FoldOutcome, Fit | None]:
        """Fit on a fold's training rows and predict its block; a fit that cannot be is told.

        One that the monitor stopped ends the task, unless it was only tried.
        """
        try:
            fit = self._fitting.fit(planned)
        except ModelError as error:
            if isinstance(error, StoppedError) and not only_tried:
                raise
            sentence = " ".join(str(error).split())
            self._fitting.told[planned.name].warnings[f"{planned.name}: {sentence}"] = None
            return self._outcome(fold, planned.choice, None, sentence), None
        return self._outcome(fold, planned.choice, fit), fit

    def _outcome(
        self, fold: Fold, choice: Choice, fit: Fit | None, error: str | None = None
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

    def _ended(self, name: str, outcome: FoldOutcome, y_N: IntArray) -> FitEnded:
        told = self._fitting.told[name]
        return FitEnded(
            name=name,
            n_train=outcome.n_train,
            n_purged=outcome.n_purged,
            train_accuracy=outcome.train_accuracy,
            accuracy=accuracy(outcome.p_N, y_N) if len(outcome.p_N) else np.nan,
            wall_s=told.wall_s,
            warnings=tuple(told.warnings),
            augmentation_failure=told.not_augmented,
            error=outcome.error,
        )

    def _relevant(self) -> Iterator[Told]:
        """Yield what was said during the fits that count, and during those that failed."""
        return (one for name, one in self._fitting.told.items() if name not in self._passed_over)

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
