"""Which rows are fitted on, which are predicted, and which stay sealed.

Ours because the maintained splitters (scikit-learn's TimeSeriesSplit, skfolio's WalkForward) purge
a fixed number of rows; labels that end at different times need the purge by interval of López de
Prado, Advances in Financial Machine Learning, 2018, section 7.4.1.

Axes: N rows of one symbol in time order.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from market.bars import DataError, FloatArray, TimeArray
from market.samples import IntArray, Samples


@dataclass(frozen=True, slots=True)
class Fold:
    """One fit and the rows it predicts.

    Attributes
    ----------
    train_N : int64 array
        Rows to fit on: all lie before ``block`` and their labels had ended when it began.
    block : slice
        Rows predicted, [start, stop).
    n_purged : int
        Rows before the block left out because their label was still open (embargo included).
    """

    train_N: IntArray
    block: slice
    n_purged: int


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of one symbol that training and selection may see, and how they are used.

    Attributes
    ----------
    development : Samples
        All of them; the holdout is not among them, nor reachable from here.
    folds : tuple of Fold
        Fits whose predictions are out of fold, in time order; the last one predicts ``test``.
    n_cv : int
        The first ``n_cv`` folds are the cross-validation.
    validation, test : slice
        Rows of ``development`` behind the numbers of the same name.
    refits : bool
        Whether the deployed fit is made anew on all of development; else it is the last fold's.
    """

    development: Samples
    folds: tuple[Fold, ...]
    n_cv: int
    validation: slice
    test: slice
    refits: bool


@dataclass(frozen=True, slots=True)
class Holdout:
    """Sealed rows, later than all of development: opened once, after selection.

    Attributes
    ----------
    samples : Samples
    context_NF : float64 array, shape (n_before, n_features)
        Features of the rows before, for models that look back; also of those that are in neither
        part, because their label was decided by the holdout's bars.
    """

    samples: Samples
    context_NF: FloatArray


class WalkForward:
    """Purged expanding walk-forward with a sealed holdout.

    Parameters
    ----------
    first_train : float
        Share of development that is only ever trained on, in (0, 1).
    n_blocks : int
        Equal blocks the rest is predicted in, each by a fit on all decided rows before it.
    holdout_fraction : float
        Share of all rows, the latest, that is sealed, in [0, 1).
    min_development_rows : int
        Without at least this many rows before it no holdout is cut: it would cost more power than
        it gives.
    embargo_bars : int
        Bars between the end of a training label and the block, on top of the purge.
    min_rows : int
        Fewer labelled rows than this cannot be split.
    """

    def __init__(
        self,
        *,
        first_train: float,
        n_blocks: int,
        holdout_fraction: float,
        min_development_rows: int,
        embargo_bars: int,
        min_rows: int,
    ) -> None:
        _check_fraction("first_train", first_train)
        if not 0 <= holdout_fraction < 1:
            raise ValueError(f"holdout_fraction must be in [0, 1), was {holdout_fraction}")
        _check_at_least("n_blocks", n_blocks, 2)
        _check_at_least("min_development_rows", min_development_rows, 1)
        _check_at_least("embargo_bars", embargo_bars, 0)
        _check_at_least("min_rows", min_rows, 20)
        self.first_train = first_train
        self.n_blocks = n_blocks
        self.holdout_fraction = holdout_fraction
        self.min_development_rows = min_development_rows
        self.embargo_bars = embargo_bars
        self.min_rows = min_rows

    def divide(self, samples: Samples) -> tuple[Split, Holdout | None]:
        """Divide the rows; raises DataError where there are too few."""
        _check_rows(samples, self.min_rows)
        embargo = self.embargo_bars * bar_length(samples.t0_N)
        n_rows = len(samples)
        n_holdout = round(n_rows * self.holdout_fraction)
        if n_rows - n_holdout < self.min_development_rows:
            n_holdout = 0
        n_before = n_rows - n_holdout
        known_N = np.arange(n_before)
        holdout = None
        if n_holdout:
            # A label that the holdout's bars decide would carry them into training and selection.
            known_N = _decided_before(samples, n_before, embargo)
            # Copied, or these rows would hold all others in memory.
            sealed = samples.take(np.arange(n_before, n_rows))
            holdout = Holdout(sealed, samples.x_NF[:n_before].copy())
        # A copy: nothing reachable from the split leads to the sealed rows.
        development = samples.take(known_N)
        n_development = len(development)
        shares = np.linspace(self.first_train, 1.0, self.n_blocks + 1)
        edges = np.round(shares * n_development).astype(int)
        _check_parts(n_rows, [0, *edges])
        folds = tuple(
            _fold(development, slice(int(a), int(b)), embargo) for a, b in itertools.pairwise(edges)
        )
        split = Split(
            development=development,
            folds=folds,
            n_cv=self.n_blocks,
            validation=folds[-2].block,
            test=folds[-1].block,
            refits=True,
        )
        return split, holdout


class FixedFractions:
    """The reference's split: train, validation and test by fixed fractions, no holdout.

    Cross-validation is purged and forward-chaining inside the training part; validation and test
    are predicted by one fit on the whole of it, and that fit is the one deployed.

    Parameters
    ----------
    train_fraction, validation_fraction : float
        Shares of all rows, in (0, 1); what is left is the test part.
    n_folds : int
        Forward-chaining folds of the training part.
    embargo_bars, min_rows : int
        As for WalkForward.
    """

    def __init__(
        self,
        *,
        train_fraction: float,
        validation_fraction: float,
        n_folds: int,
        embargo_bars: int,
        min_rows: int,
    ) -> None:
        _check_fraction("train_fraction", train_fraction)
        _check_fraction("validation_fraction", validation_fraction)
        if train_fraction + validation_fraction >= 1:
            raise ValueError(
                "train_fraction + validation_fraction must be below 1, "
                f"was {train_fraction + validation_fraction:g}"
            )
        _check_at_least("n_folds", n_folds, 2)
        _check_at_least("embargo_bars", embargo_bars, 0)
        _check_at_least("min_rows", min_rows, 20)
        self.train_fraction = train_fraction
        self.validation_fraction = validation_fraction
        self.n_folds = n_folds
        self.embargo_bars = embargo_bars
        self.min_rows = min_rows

    def divide(self, samples: Samples) -> tuple[Split, Holdout | None]:
        """Divide the rows; raises DataError where there are too few."""
        _check_rows(samples, self.min_rows)
        embargo = self.embargo_bars * bar_length(samples.t0_N)
        n_rows = len(samples)
        train_end = round(n_rows * self.train_fraction)
        validation_end = round(n_rows * (self.train_fraction + self.validation_fraction))
        edges = np.round(np.linspace(0, train_end, self.n_folds + 2)).astype(int)[1:]
        _check_parts(n_rows, [0, *edges, validation_end, n_rows])
        folds = [
            _fold(samples, slice(int(a), int(b)), embargo) for a, b in itertools.pairwise(edges)
        ]
        folds.append(_fold(samples, slice(train_end, n_rows), embargo))
        split = Split(
            development=samples,
            folds=tuple(folds),
            n_cv=self.n_folds,
            validation=slice(train_end, validation_end),
            test=slice(validation_end, n_rows),
            refits=False,
        )
        return split, None


class RowsFrom:
    """A split of the rows that were decided on from some moment on: those before are not there.

    Parameters
    ----------
    split : WalkForward or FixedFractions
        Divides what is left.
    start : datetime64[us]
        UTC.
    """

    def __init__(self, split: WalkForward | FixedFractions, start: np.datetime64) -> None:
        self.split = split
        self.start = start

    def divide(self, samples: Samples) -> tuple[Split, Holdout | None]:
        """Divide the rows; raises DataError where too few are left."""
        return self.split.divide(samples.take(np.flatnonzero(samples.t0_N >= self.start)))


def known_before(split: Split, n_folds: int) -> Split:
    """Return the part of a split that is known when the block after its first folds begins.

    No row is in it whose label was still open then: nothing that is learnt from it, by fitting or
    by comparing what fits predict, knows anything of that block or a later one.

    Parameters
    ----------
    split : Split
    n_folds : int
        At least 1, and fewer than the split has.

    Raises
    ------
    DataError
        If labels are so long that nothing is known of one of the blocks.
    """
    if not 1 <= n_folds < len(split.folds):
        raise ValueError(f"n_folds must be in [1, {len(split.folds) - 1}], was {n_folds}")
    known_N = split.folds[n_folds].train_N
    folds: list[Fold] = []
    for fold in split.folds[:n_folds]:
        start, stop = np.searchsorted(known_N, [fold.block.start, fold.block.stop])
        if start == stop:
            raise DataError(
                f"every label of block {len(folds) + 1} is still open when block {n_folds + 1} "
                "begins: shorter labels, or fewer and larger blocks, are needed"
            )
        train_N = np.searchsorted(known_N, fold.train_N)
        folds.append(Fold(train_N, slice(int(start), int(stop)), fold.n_purged))
    return Split(
        # A copy: nothing reachable from it leads to later rows.
        development=split.development.take(known_N.copy()),
        folds=tuple(folds),
        n_cv=n_folds,
        validation=folds[-1].block,
        test=folds[-1].block,
        refits=False,
    )


def early_stopping_tail(train: Samples, fraction: float) -> tuple[Samples, Samples]:
    """Cut the latest ``fraction`` of a fit's own rows off for early stopping.

    Returns
    -------
    (Samples, Samples)
        Rows to fit on, whose labels had ended when the tail begins, and the tail.
    """
    _check_fraction("fraction", fraction)
    start = len(train) - max(1, round(len(train) * fraction))
    kept = _decided_before(train, start, np.timedelta64(0, "us"))
    return train.take(kept), train.take(slice(start, len(train)))


def bar_length(t0_N: TimeArray) -> np.timedelta64:
    """Return the longest time that all steps between decisions are whole multiples of: one bar."""
    steps = np.diff(t0_N).astype("timedelta64[us]").astype(np.int64)
    return np.timedelta64(int(np.gcd.reduce(steps)), "us")


def _decided_before(samples: Samples, row: int, embargo: np.timedelta64) -> IntArray:
    return np.flatnonzero(samples.t1_N[:row] + embargo <= samples.t0_N[row])


def _fold(samples: Samples, block: slice, embargo: np.timedelta64) -> Fold:
    train_N = _decided_before(samples, block.start, embargo)
    return Fold(train_N, block, block.start - len(train_N))


def _check_rows(samples: Samples, min_rows: int) -> None:
    if len(samples) < min_rows:
        raise DataError(
            f"{len(samples)} labelled rows, at least {min_rows} are needed (split.min_rows): "
            "more bars, or more frequent events"
        )


def _check_parts(n_rows: int, edges: list[int]) -> None:
    if min(np.diff(edges)) < 1:
        raise DataError(
            f"{n_rows} labelled rows leave one of {len(edges) - 1} parts of the split empty; "
            "fewer or larger parts are needed (split), or more rows"
        )


def _check_fraction(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must be in (0, 1), was {value}")


def _check_at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least}, was {value}")
