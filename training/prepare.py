"""One symbol made ready for training: its rows divided, and what looks wrong with its features."""

from dataclasses import dataclass

from market.event_table import EventTable
from market.splits import FixedFractions, Holdout, RowsFrom, Split, WalkForward
from training.plausibility import implausible_features


@dataclass(frozen=True, slots=True)
class Prepared:
    """One symbol, ready to be trained.

    Attributes
    ----------
    split : Split
        What training and selection are given.
    holdout : Holdout or None
        Kept apart; only the scoring after selection is given it.
    notes : tuple of str
        What looks wrong: suspect features, labels without an end.
    suspect : tuple of str
        Of the notes, those on features that predict too well alone.
    """

    split: Split
    holdout: Holdout | None
    notes: tuple[str, ...]
    suspect: tuple[str, ...] = ()


def prepare(
    table: EventTable, *, split: WalkForward | FixedFractions | RowsFrom, max_feature_auc: float
) -> Prepared:
    """Divide a symbol's rows; raises DataError where they are too few."""
    samples = table.samples()
    divided, holdout = split.divide(samples)
    suspect = implausible_features(divided, max_feature_auc)
    notes = list(suspect)
    if (samples.t1_N == samples.t0_N).all():
        notes.append("no label says when it ended (label_end): labels that overlap are not purged")
    return Prepared(divided, holdout, notes=tuple(notes), suspect=tuple(suspect))
