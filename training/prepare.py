"""One symbol made ready for training: events, split, and what looks wrong with its features."""

from dataclasses import dataclass

from market.events import EveryBar, SmcEvents
from market.features.smc import SmcFeatures
from market.labels import TripleBarrier
from market.source import Source, event_table, source_digest
from market.splits import FixedFractions, Holdout, Split, WalkForward
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
        What looks wrong: features that predict too well alone, labels without an end.
    source_digest : str
        Identifies the symbol's data.
    n_events : int
        Events found, undecided ones included.
    """

    split: Split
    holdout: Holdout | None
    notes: tuple[str, ...]
    source_digest: str
    n_events: int


def prepare(
    source: Source,
    symbol: str,
    *,
    seed: int,
    features: SmcFeatures,
    events: SmcEvents | EveryBar,
    labels: TripleBarrier,
    split: WalkForward | FixedFractions,
    max_feature_auc: float,
) -> Prepared:
    """Read or simulate a symbol and divide its rows; raises DataError where that cannot be done."""
    table = event_table(source, symbol, seed=seed, features=features, events=events, labels=labels)
    samples = table.samples()
    divided, holdout = split.divide(samples)
    notes = implausible_features(divided, max_feature_auc)
    if (samples.t1_N == samples.t0_N).all():
        notes.append("no label says when it ended (label_end): labels that overlap are not purged")
    return Prepared(
        split=divided,
        holdout=holdout,
        notes=tuple(notes),
        source_digest=source_digest(source, symbol, seed),
        n_events=len(table),
    )
