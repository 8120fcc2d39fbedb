"""Splits: nothing is fitted on what was not known, and the holdout cannot be reached."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.bars import DataError
from market.samples import Samples
from market.splits import (
    FixedFractions,
    Holdout,
    WalkForward,
    bar_length,
    early_stopping_tail,
    known_before,
)

HOUR = np.timedelta64(3_600_000_000, "us")
START = np.datetime64("2024-01-01", "us")
WALK = {
    "first_train": 0.4,
    "n_blocks": 6,
    "holdout_fraction": 0.15,
    "min_development_rows": 60,
    "embargo_bars": 1,
    "min_rows": 20,
}
FIXED = {
    "train_fraction": 0.6,
    "validation_fraction": 0.2,
    "n_folds": 5,
    "embargo_bars": 1,
    "min_rows": 20,
}


def market(n_rows, seed=0, max_step=5, max_span=20):
    """Rows at irregular whole hours, each label ending 0 to `max_span` hours later."""
    rng = np.random.default_rng(seed)
    t0_N = START + np.cumsum(rng.integers(1, max_step + 1, n_rows)) * HOUR
    t1_N = t0_N + rng.integers(0, max_span + 1, n_rows) * HOUR
    x_NF = rng.normal(size=(n_rows, 2))
    return Samples(x_NF, rng.integers(0, 2, n_rows), np.ones(n_rows), t0_N, t1_N, ("a", "b"))


def at_once(samples):
    """The same rows, each label known at its decision."""
    return dataclasses.replace(samples, t1_N=samples.t0_N)


def divided(kind, settings_, samples, **changes):
    return kind(**{**settings_, **changes}).divide(samples)


def check_fold(samples, fold, embargo):
    """Trained on exactly the earlier rows whose label ended an embargo before the block."""
    begin = samples.t0_N[fold.block.start]
    earlier_N = np.arange(fold.block.start)
    decided = [row for row in earlier_N if samples.t1_N[row] + embargo <= begin]
    assert fold.train_N.tolist() == decided
    assert fold.n_purged == fold.block.start - len(decided)
    assert fold.block.stop > fold.block.start


@settings(max_examples=60, deadline=None)
@given(
    n_rows=st.integers(20, 200),
    seed=st.integers(0, 10**6),
    span=st.sampled_from([0, 3, 60]),
    n_blocks=st.integers(2, 8),
    embargo_bars=st.integers(0, 6),
)
def test_a_walk_forward_fits_on_all_that_was_known_and_on_nothing_else(
    n_rows, seed, span, n_blocks, embargo_bars
):
    samples = market(n_rows, seed, max_span=span)
    split, holdout = divided(
        WalkForward, WALK, samples, n_blocks=n_blocks, embargo_bars=embargo_bars
    )
    n_development = len(split.development)
    embargo = embargo_bars * bar_length(samples.t0_N)
    for fold in split.folds:
        check_fold(split.development, fold, embargo)
    rows = [row for fold in split.folds for row in range(fold.block.start, fold.block.stop)]
    assert rows == list(range(round(0.4 * n_development), n_development))
    sizes = [fold.block.stop - fold.block.start for fold in split.folds]
    assert len(sizes) == split.n_cv == n_blocks
    assert max(sizes) - min(sizes) <= 1
    assert (split.validation, split.test) == (split.folds[-2].block, split.folds[-1].block)
    assert split.refits
    if holdout is None:
        assert n_development == n_rows
        return
    before = samples.take(slice(0, n_rows - len(holdout.samples)))
    known_N = before.t1_N + embargo <= holdout.samples.t0_N[0]
    assert split.development.digest() == before.take(np.flatnonzero(known_N)).digest()


@settings(max_examples=60, deadline=None)
@given(
    n_rows=st.integers(20, 200), least=st.integers(1, 200), share=st.sampled_from([0, 0.15, 0.5])
)
def test_the_holdout_is_the_latest_share_where_enough_rows_remain_before_it(n_rows, least, share):
    samples = at_once(market(n_rows))
    split, holdout = divided(
        WalkForward,
        WALK,
        samples,
        holdout_fraction=share,
        min_development_rows=least,
        embargo_bars=0,
    )
    n_holdout = round(share * n_rows)
    if n_holdout == 0 or n_rows - n_holdout < least:
        assert holdout is None
        assert split.development.digest() == samples.digest()
        return
    assert holdout.samples.digest() == samples.take(slice(n_rows - n_holdout, n_rows)).digest()
    assert split.development.digest() == samples.take(slice(0, n_rows - n_holdout)).digest()
    assert (holdout.context_NF == split.development.x_NF).all()


def test_one_row_too_few_before_it_and_no_holdout_is_cut():
    assert divided(WalkForward, WALK, market(70), min_development_rows=60)[1] is not None
    assert divided(WalkForward, WALK, market(69), min_development_rows=60)[1] is None


def reachable(thing):
    """Every array that can be reached from an object, the bases of views among them."""
    assert not isinstance(thing, Holdout)
    if isinstance(thing, np.ndarray):
        return [thing, *reachable(thing.base)]
    if dataclasses.is_dataclass(thing):
        return [one for f in dataclasses.fields(thing) for one in reachable(getattr(thing, f.name))]
    if isinstance(thing, tuple):
        return [one for part in thing for one in reachable(part)]
    return []


def test_no_holdout_row_can_be_reached_from_the_split():
    split, holdout = divided(WalkForward, WALK, market(100, max_span=60))
    arrays = reachable(split)
    assert {id(split.development.t0_N), id(split.folds[2].train_N)} <= set(map(id, arrays))
    assert {len(one) for one in arrays if len(one) > len(split.development)} == set()
    assert max(one.max() for one in arrays if one.dtype.kind == "i") < len(split.development)
    assert split.development.t0_N[-1] < holdout.samples.t0_N[0]
    assert split.folds[-1].block.stop == len(split.development)


@pytest.mark.parametrize(("kind", "keys"), [(WalkForward, WALK), (FixedFractions, FIXED)])
def test_labels_known_at_once_lose_nothing_but_the_embargo(kind, keys):
    samples = at_once(market(150, max_step=1))
    for bars in (0, 1, 4):
        split, _ = divided(kind, keys, samples, embargo_bars=bars)
        assert {fold.n_purged for fold in split.folds} == {max(0, bars - 1)}


@pytest.mark.parametrize(("kind", "keys"), [(WalkForward, WALK), (FixedFractions, FIXED)])
def test_a_label_that_reaches_into_the_block_is_purged_and_only_for_that(kind, keys):
    plain = at_once(market(150, max_step=1))
    block = divided(kind, keys, plain)[0].folds[2].block
    t1_N = plain.t1_N.copy()
    t1_N[3] = plain.t0_N[block.start]
    t1_N[5] = plain.t0_N[block.start] - HOUR
    overlapping = dataclasses.replace(plain, t1_N=t1_N)
    fold = divided(kind, keys, overlapping)[0].folds[2]
    assert sorted(set(range(block.start)) - set(fold.train_N)) == [3]
    assert 3 in divided(kind, keys, at_once(overlapping))[0].folds[2].train_N


def test_a_row_whose_label_the_holdouts_bars_decide_is_in_no_part_but_stays_context():
    plain = at_once(market(150, max_step=1))
    t1_N = plain.t1_N.copy()
    t1_N[7] = plain.t0_N[-1]
    split, holdout = divided(WalkForward, WALK, dataclasses.replace(plain, t1_N=t1_N))
    assert holdout is not None
    assert plain.t0_N[7] not in split.development.t0_N
    assert len(split.development) + 1 == len(holdout.context_NF)


@settings(max_examples=60, deadline=None)
@given(n_rows=st.integers(20, 200), seed=st.integers(0, 10**6), span=st.sampled_from([0, 3, 60]))
def test_fixed_fractions_predict_validation_and_test_by_one_fit_on_the_training_part(
    n_rows, seed, span
):
    samples = market(n_rows, seed, max_span=span)
    split, holdout = divided(FixedFractions, FIXED, samples)
    assert holdout is None
    assert not split.refits
    assert split.development is samples
    train_end, validation_end = round(0.6 * n_rows), round(0.8 * n_rows)
    assert split.validation == slice(train_end, validation_end)
    assert split.test == slice(validation_end, n_rows)
    embargo = bar_length(samples.t0_N)
    for fold in split.folds:
        check_fold(samples, fold, embargo)
    assert split.folds[-1].block == slice(train_end, n_rows)
    inside = split.folds[:-1]
    assert len(inside) == split.n_cv == 5
    edges = [inside[0].block.start, *(fold.block.stop for fold in inside)]
    assert edges[-1] == train_end
    assert [fold.block.start for fold in inside] == edges[:-1]
    assert np.ptp(np.diff([0, *edges])) <= 1


@settings(max_examples=60, deadline=None)
@given(n_rows=st.integers(2, 120), seed=st.integers(0, 10**6), share=st.floats(0.01, 0.9))
def test_the_tail_for_early_stopping_is_the_latest_and_what_was_open_is_dropped(
    n_rows, seed, share
):
    samples = market(n_rows, seed)
    kept, tail = early_stopping_tail(samples, share)
    start = n_rows - max(1, round(share * n_rows))
    assert tail.digest() == samples.take(slice(start, n_rows)).digest()
    decided = [row for row in range(start) if samples.t1_N[row] <= samples.t0_N[start]]
    assert kept.digest() == samples.take(np.array(decided, dtype=int)).digest()


@settings(max_examples=60, deadline=None)
@given(
    n_rows=st.integers(60, 200),
    seed=st.integers(0, 10**6),
    span=st.sampled_from([0, 3, 60]),
    embargo_bars=st.integers(0, 6),
    n_folds=st.integers(1, 5),
)
def test_what_is_known_before_a_block_holds_no_label_that_was_open_then(
    n_rows, seed, span, embargo_bars, n_folds
):
    split, _ = divided(
        WalkForward, WALK, market(n_rows, seed, max_span=span), embargo_bars=embargo_bars
    )
    whole, start = split.development, split.folds[n_folds].block.start
    embargo = embargo_bars * bar_length(whole.t0_N)
    decided = [row for row in range(start) if whole.t1_N[row] + embargo <= whole.t0_N[start]]
    blocks = [range(fold.block.start, fold.block.stop) for fold in split.folds[:n_folds]]
    if not all(set(block) & set(decided) for block in blocks):
        with pytest.raises(DataError, match="is still open when block"):
            known_before(split, n_folds)
        return
    known = known_before(split, n_folds)
    assert known.development.digest() == whole.take(np.array(decided)).digest()
    assert len(known.folds) == known.n_cv == n_folds
    for part, fold in zip(known.folds, split.folds, strict=False):
        assert np.array_equal(known.development.t0_N[part.train_N], whole.t0_N[fold.train_N])
        kept = [row for row in range(fold.block.start, fold.block.stop) if row in decided]
        assert np.array_equal(known.development.t0_N[part.block], whole.t0_N[kept])
        assert part.n_purged == fold.n_purged
    assert known.test == known.validation == known.folds[-1].block
    assert not known.refits


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n_folds=st.integers(1, 5), span=st.sampled_from([3, 12]))
def test_rows_decided_later_change_nothing_in_what_is_known_before(seed, n_folds, span):
    samples = market(150, seed, max_span=span)
    split, _ = divided(WalkForward, WALK, samples, holdout_fraction=0.0)
    later_N = samples.t0_N >= split.development.t0_N[split.folds[n_folds].block.start]
    changed = dataclasses.replace(
        samples,
        x_NF=np.where(later_N[:, None], -3.0 * samples.x_NF, samples.x_NF),
        y_N=np.where(later_N, 1 - samples.y_N, samples.y_N),
        weight_N=np.where(later_N, 9.0, samples.weight_N),
        t1_N=np.where(later_N, samples.t0_N[-1] + 99 * HOUR, samples.t1_N),
    )
    other, _ = divided(WalkForward, WALK, changed, holdout_fraction=0.0)
    one, two = known_before(split, n_folds), known_before(other, n_folds)
    assert one.development.digest() == two.development.digest()
    assert str(one.folds) == str(two.folds)


def test_no_later_row_can_be_reached_from_what_is_known_before():
    split, _ = divided(WalkForward, WALK, market(300, max_span=60))
    known = known_before(split, 4)
    assert len(known.development) < split.folds[4].block.start
    assert {len(one) for one in reachable(known) if len(one) > len(known.development)} == set()
    shared = {id(one) for one in reachable(known)} & {id(one) for one in reachable(split)}
    assert not shared
    assert known.development.t0_N[-1] < split.development.t0_N[split.folds[4].block.start]


@pytest.mark.parametrize("n_folds", [0, 6, 7, -1])
def test_something_must_be_left_that_is_not_known_before(n_folds):
    split, _ = divided(WalkForward, WALK, market(150))
    with pytest.raises(ValueError, match=rf"^n_folds must be in \[1, 5\], was {n_folds}$"):
        known_before(split, n_folds)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_tail_must_be_a_proper_share(share):
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\), was"):
        early_stopping_tail(market(20), share)


@pytest.mark.parametrize(
    ("kind", "keys", "name", "value", "sentence"),
    [
        (WalkForward, WALK, "first_train", 0.0, "first_train must be in (0, 1), was 0.0"),
        (WalkForward, WALK, "first_train", 1.0, "first_train must be in (0, 1), was 1.0"),
        (WalkForward, WALK, "holdout_fraction", 1.0, "holdout_fraction must be in [0, 1), was 1.0"),
        (WalkForward, WALK, "holdout_fraction", -0.1, "holdout_fraction must be in [0, 1), was -0"),
        (WalkForward, WALK, "n_blocks", 1, "n_blocks must be at least 2, was 1"),
        (WalkForward, WALK, "min_development_rows", 0, "min_development_rows must be at least 1"),
        (WalkForward, WALK, "embargo_bars", -1, "embargo_bars must be at least 0, was -1"),
        (WalkForward, WALK, "min_rows", 19, "min_rows must be at least 20, was 19"),
        (FixedFractions, FIXED, "train_fraction", 0.0, "train_fraction must be in (0, 1), was 0.0"),
        (
            FixedFractions,
            FIXED,
            "validation_fraction",
            1.0,
            "validation_fraction must be in (0, 1)",
        ),
        (FixedFractions, FIXED, "validation_fraction", 0.4, "must be below 1, was 1"),
        (FixedFractions, FIXED, "n_folds", 1, "n_folds must be at least 2, was 1"),
        (FixedFractions, FIXED, "embargo_bars", -1, "embargo_bars must be at least 0, was -1"),
        (FixedFractions, FIXED, "min_rows", 19, "min_rows must be at least 20, was 19"),
    ],
)
def test_an_argument_out_of_range_is_named(kind, keys, name, value, sentence):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - compared below, as it stands
        kind(**{**keys, name: value})
    assert sentence in str(refusal.value)


@pytest.mark.parametrize(("kind", "keys"), [(WalkForward, WALK), (FixedFractions, FIXED)])
def test_too_few_rows_name_the_number_needed_and_its_key(kind, keys):
    sentence = r"^49 labelled rows, at least 50 are needed \(split\.min_rows\): more bars"
    with pytest.raises(DataError, match=sentence):
        divided(kind, keys, market(49), min_rows=50)
    divided(kind, keys, market(50), min_rows=50)


@pytest.mark.parametrize(
    ("kind", "keys", "changes"),
    [
        (WalkForward, WALK, {"first_train": 0.99}),
        (WalkForward, WALK, {"first_train": 0.001}),
        (WalkForward, WALK, {"n_blocks": 40}),
        (FixedFractions, FIXED, {"train_fraction": 0.98, "validation_fraction": 0.01}),
        (FixedFractions, FIXED, {"train_fraction": 0.01}),
    ],
)
def test_a_part_without_rows_is_refused(kind, keys, changes):
    with pytest.raises(DataError, match=r"^30 labelled rows leave one of \d+ parts .* empty; "):
        divided(kind, keys, market(30), **changes)


def test_a_bar_is_what_all_steps_between_decisions_are_multiples_of():
    hours_N = np.array([0, 48, 56, 65, 200])
    assert bar_length(START + hours_N * HOUR) == HOUR
    assert bar_length(START + 4 * hours_N * HOUR) == 4 * HOUR
    assert bar_length(START + hours_N[:1] * HOUR) == bar_length(hours_N[:0]) == 0 * HOUR
