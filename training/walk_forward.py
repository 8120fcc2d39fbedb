"""One symbol, one model: out-of-fold predictions by walk-forward, then the deployed fit.

Every step of a model's strength path is fitted for every block, so that later blocks can learn
from it; of these a block is predicted by the one that the blocks before it taught.

Axes: N rows of development.
"""

import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray
from market.splits import Fold, Split
from models.base import FitReport, Model, ModelError, StoppedError
from selection.calibration import Calibrated, walk_forward_calibration
from selection.metrics import PROBABILITY_FLOOR
from training.choices import AugmentationVerdict, Choice, Choices, StrengthVerdict
from training.fit_plan import AUGMENTED, FINAL, fit_name, is_paired, is_small
from training.fitting import Fit, Fitting, Planned, Told, accuracy
from training.kept_fits import KeptFits
from training.task import Failure, FitEnded, FoldOutcome, Task, Trained
from training.units import NO_ROWS


@dataclass(frozen=True, slots=True)
class _Deployed:
    """What is told of the fit that is deployed."""

    report: FitReport
    importance: dict[str, float] | None


class Training:
    """One task under way: its fits one after another, and what is known of them so far."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._path = (task.model, *task.stronger)
        self._choices = Choices(task.split.development, len(self._path))
        self._everything = np.arange(len(task.split.development))
        self._fitting = Fitting(task, self._known(), self._keep_at_once)
        self._kept = KeptFits(task)
        self._passed_over: set[str] = set()
        # Of fits that were made before they were asked for.
        self._predicted: dict[str, FloatArray] = {}
        # By the monitor, for what the clock says among others: another start may see it end.
        self._stopped: set[str] = set()

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
        try:
            yield from self._fits()
        finally:
            self._kept.close()

    def _fits(self) -> Generator[FitEnded | Trained, None, None]:
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
        if outcomes[-1].error or np.isnan(p_N[split.validation]).any():
            errors = [f"fold {k}: {one.error}" for k, one in enumerate(outcomes, 1) if one.error]
            raise ModelError(f"validation or test could not be predicted: {errors[-1]}")
        choice = self._choice(self._everything) if split.refits else outcomes[-1].choice
        calibrated = self._calibrated(p_N)
        deployed = yield from self._deployed(choice, last, calibrated)
        # Before the task is told to have ended: an error after that would be another task's.
        self._kept.close()
        yield Trained(
            p_N=p_N,
            base_rate_N=base_rate_N,
            calibrated=calibrated,
            folds=tuple(outcomes),
            strength=self._strength_verdict(choice),
            augmentation=self._augmentation_verdict(self._everything, choice),
            hyperparameters=self._path[choice.step].hyperparameters,
            final=deployed.report,
            importance=deployed.importance,
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
            # A model's own account of its rows; whatever else there is may pass: want of memory,
            # a time limit.
            repeats=isinstance(error, ModelError) and not isinstance(error, StoppedError),
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
        if is_paired(self._task, fold):
            tries.append(twin)
        done: dict[Choice, FoldOutcome] = {}
        used: Fit | None = None
        for one in tries:
            draws_as = fit_name(name, one.step)
            called = f"{name}{AUGMENTED}" if one is twin else draws_as
            planned = Planned(called, draws_as, fold.train_N, one)
            was_kept = self._take_over(fold, planned, done, is_chosen=one == choice)
            fit = None
            if not was_kept:
                with self._fitting.counted(called, "walk_forward"):
                    done[one], fit = self._attempt(fold, planned, only_tried=one != choice)
                if called not in self._stopped:
                    self._kept.keep({called: (done[one], self._fitting.told[called])})
            if one == choice:
                used = fit
            elif done[one].error is None:
                self._passed_over.add(called)
            if one is not twin and done[one].error is None:
                self._choices.tried(one.step, fold.block, done[one].p_N)
            yield self._ended(called, done[one], y_N, was_kept=was_kept)
        if twin in done and not always:
            pair = done[twin], done[Choice(choice.step, augmented=False)]
            if all(one.error is None for one in pair):
                self._choices.paired(fold.block, pair[0].p_N, pair[1].p_N)
        return done[choice], used

    def _take_over(
        self, fold: Fold, planned: Planned, done: dict[Choice, FoldOutcome], *, is_chosen: bool
    ) -> bool:
        """Take over what an earlier start made of a block; return whether there was anything.

        The fit itself is gone: the one that is deployed without another is made again, unless that
        has been saved as well.
        """
        is_deployed = (
            is_chosen and not self._task.split.refits and fold is self._task.split.folds[-1]
        )
        found = self._kept.get(planned.name, planned.choice)
        if (
            self._fitting.holds(planned.name)
            or found is None
            or (is_deployed and self._kept.final(planned.choice) is None)
        ):
            return False
        done[planned.choice] = self._outcome(
            fold, planned.choice, found.train_accuracy, found.p_N, found.error
        )
        self._fitting.take_over(planned.name, "walk_forward", found.told)
        return True

    def _deployed(
        self, choice: Choice, last: Fit | None, calibrated: Calibrated | None
    ) -> Generator[FitEnded, None, _Deployed]:
        """Make the deployed fit and save it, unless an earlier start has."""
        found, refits = self._kept.final(choice), self._task.split.refits
        if found is not None:
            self._fitting.take_over(FINAL, "fit", found.told)
            if refits:
                yield self._final_ended(choice, found.train_accuracy, was_kept=True)
            return _Deployed(found.report, found.importance)
        if refits:
            with self._fitting.counted(FINAL, "fit"):
                last = self._fitting.fit(Planned(FINAL, FINAL, self._everything, choice))
            yield self._final_ended(choice, last.train_accuracy)
        assert last is not None  # noqa: S101 - test has been predicted, by the last fold's fit
        with self._fitting.counted("saving", "fit"):
            if calibrated is not None:
                last.model.calibration = calibrated.final
            self._save(last.model)
            deployed = _Deployed(last.report, last.model.importance())
        told = self._fitting.told.get(FINAL, Told())
        self._kept.keep_final(choice, last, deployed.importance, told)
        return deployed

    def _final_ended(
        self, choice: Choice, train_accuracy: float, *, was_kept: bool = False
    ) -> FitEnded:
        n_rows = len(self._everything)
        whole = Fold(self._everything, slice(n_rows, n_rows), 0)
        outcome = self._outcome(whole, choice, train_accuracy, NO_ROWS, None)
        y_N = self._task.split.development.y_N
        return self._ended(FINAL, outcome, y_N[:0], was_kept=was_kept)

    def _choice(self, train_N: IntArray) -> Choice:
        """Return how to fit on these rows: as configured, or as the blocks among them taught."""
        taught = self._choices.after(train_N)
        match self._task.augmentation:
            case "none":
                augmented = False
            case "always":
                augmented = True
            case "adaptive":
                augmented = taught.augmented and is_small(self._task, len(train_N))
        return Choice(taught.step, augmented)

    def _known(self) -> list[Planned]:
        """Return the fits whose choice hangs on no other fit."""
        task, always = self._task, self._task.augmentation == "always"
        planned = []
        for number, fold in enumerate(task.split.folds, start=1):
            for step in range(len(self._path)):
                name = fit_name(f"fold {number}", step)
                planned.append(Planned(name, name, fold.train_N, Choice(step, always)))
        is_open = task.augmentation == "adaptive" and is_small(task, len(self._everything))
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
            if isinstance(error, StoppedError):
                self._stopped.add(planned.name)
                if not only_tried:
                    raise
            sentence = " ".join(str(error).split())
            self._fitting.told[planned.name].warnings[f"{planned.name}: {sentence}"] = None
            return self._outcome(fold, planned.choice, np.nan, NO_ROWS, sentence), None
        p_N = self._predicted.pop(planned.name, None)
        if p_N is None:
            p_N = self._answers(fold, fit)
        return self._outcome(fold, planned.choice, fit.train_accuracy, p_N, None), fit

    def _answers(self, fold: Fold, fit: Fit) -> FloatArray:
        x_NF = self._task.split.development.x_NF
        return fit.model.predict_proba(x_NF[fold.block], x_NF[: fold.block.start])[:, 1]

    def _keep_at_once(self, made: list[tuple[Planned, Fit, Told]]) -> None:
        """Keep folds' fits that were made side by side: their turn may be long in coming."""
        if self._task.keeping is None:
            return
        outcomes = {}
        for planned, fit, told in made:
            folds = (one for one in self._task.split.folds if one.train_N is planned.rows)
            if (fold := next(folds, None)) is not None:
                p_N = self._predicted[planned.name] = self._answers(fold, fit)
                outcome = self._outcome(fold, planned.choice, fit.train_accuracy, p_N, None)
                outcomes[planned.name] = (outcome, told)
        self._kept.keep(outcomes)

    def _outcome(
        self,
        fold: Fold,
        choice: Choice,
        train_accuracy: float,
        p_N: FloatArray,
        error: str | None,
    ) -> FoldOutcome:
        development, train_N = self._task.split.development, fold.train_N
        y_N, weight_N = development.y_N[train_N], development.weight_N[train_N]
        return FoldOutcome(
            choice=choice,
            n_train=len(train_N),
            n_purged=fold.n_purged,
            base_rate=float(np.average(y_N, weights=weight_N)) if len(train_N) else np.nan,
            train_accuracy=train_accuracy,
            p_N=p_N,
            error=error,
        )

    def _ended(
        self, name: str, outcome: FoldOutcome, y_N: IntArray, *, was_kept: bool = False
    ) -> FitEnded:
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
            was_kept=was_kept,
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
        known_N = ~np.isnan(p_N)
        if self._task.judged_from is not None:
            known_N &= development.t0_N >= self._task.judged_from
        rows = np.flatnonzero(known_N)
        if len(rows) == 0:
            return None
        # A model may be certain, and certainty has no log-odds to fit on.
        clipped_N = np.clip(p_N[rows], PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
        return walk_forward_calibration(
            np.log(clipped_N) - np.log1p(-clipped_N),
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


def block_numbers(split: Split) -> IntArray:
    """Return the number of the fold that predicts each row of development; -1 where none does."""
    block_N = np.full(len(split.development), -1)
    for number, fold in enumerate(split.folds):
        block_N[fold.block] = number
    return block_N
