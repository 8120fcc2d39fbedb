"""Signal is seen where it is, at most as often as said where there is none.

Axes: N rows.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import log_loss

from selection.evidence import Evidence, detectable_edge, evidence, holm, mean_interval
from selection.out_of_fold import OutOfFold
from selection.overlap import Overlaps
from tests.selection.drawn_rows import (
    HOUR,
    START,
    FloatArray,
    blocks,
    correlation_at,
    informed,
    irregular,
    labels,
    logit,
    most_below,
    persistent,
    r_of,
    rows_of,
    sigmoid,
    sums_of_shared_noise,
)

DRAWS = 1_000
SEEDS = st.integers(0, 2**32 - 1)
P_VALUES = st.dictionaries(st.sampled_from("ABCDEFGH"), st.floats(0, 1), min_size=1)


def less_means(a_N: FloatArray, by_N: npt.ArrayLike) -> FloatArray:
    by_N = np.asarray(by_N)
    less_N: FloatArray = a_N - np.array([a_N[by_N == one].mean() for one in by_N])
    return less_N


@dataclass(frozen=True)
class Dense:
    """The statistic of one centring, summed over whole matrices."""

    z: float
    v0: float
    v1: float
    v2: float

    @classmethod
    def of(cls, rows: OutOfFold, by_N: npt.ArrayLike) -> "Dense":
        s_N = logit(np.clip(rows.p_N, 0.02, 0.98)) - logit(np.clip(rows.base_rate_N, 0.02, 0.98))
        e_N, q_N = less_means(rows.y_N.astype(float), by_N), less_means(s_N, by_N)
        v, n_lags = (e_N**2).mean(), math.ceil(1.3 * math.sqrt(len(e_N)))
        v0, v1 = v * (q_N**2).sum(), v * q_N @ r_of(rows) @ q_N
        v2 = v0 + 2 * v0 * sum(
            (1 - lag / (n_lags + 1)) * correlation_at(lag, e_N) * correlation_at(lag, q_N)
            for lag in range(1, n_lags + 1)
        )
        return cls((e_N * q_N).sum() / math.sqrt(max(v0, v1, v2)), v0, v1, v2)


@given(SEEDS, st.integers(24, 60), st.integers(1, 3))
def test_statistic_variance_and_p_value_are_those_of_the_formula(
    seed: int, n_rows: int, n_blocks: int
) -> None:
    rows = irregular(seed, n_rows, n_blocks)
    found = evidence(rows)
    weaker = min(
        (Dense.of(rows, by_N) for by_N in (np.zeros(n_rows), rows.block_N)), key=lambda one: one.z
    )
    n_effective = n_rows**2 / r_of(rows).sum()
    p_value = stats.t.sf(weaker.z, n_effective - 2) if n_effective > 2 else 1.0
    largest = max(weaker.v0, weaker.v1, weaker.v2)
    assert found.rows == n_rows
    assert found.effective_rows == pytest.approx(n_effective)
    assert found.statistic == pytest.approx(weaker.z)
    assert found.inflation == pytest.approx(largest / weaker.v0)
    assert found.p_value == pytest.approx(p_value if found.gain > 0 else 1.0)


def test_either_variance_and_either_centring_is_the_weaker_one_somewhere() -> None:
    drawn = [irregular(seed, 40, 3) for seed in range(60)]
    whole = [Dense.of(rows, np.zeros(40)) for rows in drawn]
    within = [Dense.of(rows, rows.block_N) for rows in drawn]
    assert {max("v0", "v1", "v2", key=lambda v: getattr(one, v)) for one in whole} == {
        "v0",
        "v1",
        "v2",
    }
    assert {one.z < other.z for one, other in zip(whole, within, strict=True)} == {True, False}


def test_the_gain_is_the_base_rates_log_loss_less_the_models_both_clipped() -> None:
    rows = replace(irregular(3, 50, 2), p_N=np.linspace(0, 1, 50))
    clipped_N = np.clip(rows.p_N, 0.02, 0.98)
    gain = log_loss(rows.y_N, rows.base_rate_N) - log_loss(rows.y_N, clipped_N)
    assert evidence(rows).gain == pytest.approx(gain)
    assert evidence(replace(rows, p_N=clipped_N)) == evidence(rows)


def test_scores_that_go_with_outcomes_but_lose_log_loss_are_no_evidence() -> None:
    rng = np.random.default_rng(1)
    y_N = labels(rng, 400)
    p_N = informed(rng, y_N, 0.3)
    overconfident = evidence(rows_of(y_N, sigmoid(8 * logit(p_N))))
    assert evidence(rows_of(y_N, p_N)).p_value < 1e-6
    assert overconfident.statistic > 4
    assert overconfident.gain < 0
    assert overconfident.p_value == 1.0
    assert evidence(rows_of(y_N, 1 - p_N)).p_value == 1.0


@given(SEEDS, st.floats(-0.3, 0.3))
def test_adding_a_constant_to_all_log_odds_changes_the_gain_alone(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    y_N = labels(rng, 60, 4)
    p_N = np.clip(informed(rng, y_N, 0.5), 0.05, 0.95)
    rows = rows_of(y_N, p_N, depth=4)
    plain, moved = evidence(rows), evidence(replace(rows, p_N=sigmoid(logit(p_N) + shift)))
    assert moved.statistic == pytest.approx(plain.statistic, abs=1e-9)
    assert moved.inflation == pytest.approx(plain.inflation)
    if plain.gain > 0 and moved.gain > 0:
        assert moved.p_value == pytest.approx(plain.p_value)


@given(SEEDS, st.integers(2, 20))
def test_overlap_never_makes_the_same_numbers_more_convincing(seed: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    y_N = labels(rng, 80, depth)
    alone = rows_of(y_N, informed(rng, y_N, 0.4))
    overlapping = replace(alone, t1_N=alone.t0_N + depth * HOUR)
    p_value = evidence(overlapping).p_value
    assert p_value >= min(0.5, evidence(alone).p_value)


def test_the_deeper_the_overlap_of_persistent_scores_the_larger_the_p_value() -> None:
    rng = np.random.default_rng(2)
    y_N = labels(rng, 400, 24)
    rows = rows_of(y_N, sigmoid(0.5 * persistent(rng, 400, 0.99) + 0.5 * (2 * y_N - 1)))
    p_values = [
        evidence(replace(rows, t1_N=rows.t0_N + depth * HOUR)).p_value
        for depth in (1, 2, 6, 12, 24, 48)
    ]
    assert p_values == sorted(p_values)
    assert p_values[0] < 1e-4 < p_values[-1]


def noise(
    rng: np.random.Generator, n_rows: int, depth: int, memory: float, *, drifts: bool
) -> OutOfFold:
    """Return rows whose scores know nothing; where it drifts, the base rate is the past's."""
    y_N, base_N = labels(rng, n_rows, depth), np.full(n_rows, 0.5)
    if drifts:
        rate_N = sigmoid(0.5 * persistent(rng, n_rows, 0.995))
        y_N = (rng.random(n_rows) < rate_N).astype(np.int64)
        block_N = blocks(n_rows)
        before_B = [(y_N[block_N < b].sum() + 20) / ((block_N < b).sum() + 40) for b in range(6)]
        base_N = np.array(before_B)[block_N]
    # Small scores cost little: every other draw gains by luck, and the test has to hold it back.
    p_N = sigmoid(logit(base_N) + 0.1 * persistent(rng, n_rows, memory))
    return rows_of(y_N, p_N, base_N, depth=depth)


@pytest.mark.parametrize(
    ("depth", "memory", "drifts"),
    [(1, 0.0, False), (1, 0.95, False), (12, 0.98, False), (24, 0.95, False), (1, 0.98, True)],
)
def test_noise_is_taken_for_signal_no_more_often_than_said(
    depth: int, memory: float, drifts: bool
) -> None:
    rng = np.random.default_rng(17)
    found = [evidence(noise(rng, 300, depth, memory, drifts=drifts)) for _ in range(DRAWS)]
    for alpha in (0.01, 0.05):
        assert np.mean([one.p_value < alpha for one in found]) <= most_below(alpha, DRAWS)
        # Nor does the statistic lean on the rule that log-loss must be gained.
        assert np.mean([one.statistic > stats.norm.isf(alpha) for one in found]) <= most_below(
            alpha, DRAWS
        )


def test_without_overlap_or_memory_the_test_is_exact() -> None:
    rng = np.random.default_rng(18)
    found = [evidence(noise(rng, 300, 1, 0.0, drifts=False)) for _ in range(DRAWS)]
    assert np.mean([one.statistic for one in found]) == pytest.approx(0, abs=0.15)
    assert np.std([one.statistic for one in found]) == pytest.approx(1, abs=0.1)
    assert np.mean([one.p_value < 0.05 for one in found]) >= 0.03


@pytest.mark.parametrize(("n_rows", "depth", "shift"), [(300, 1, 0.3), (1_000, 12, 0.5)])
def test_planted_signal_is_seen(n_rows: int, depth: int, shift: float) -> None:
    rng = np.random.default_rng(19)
    seen = 0
    for _ in range(100):
        y_N = labels(rng, n_rows, depth)
        seen += evidence(rows_of(y_N, informed(rng, y_N, shift), depth=depth)).p_value < 0.05
    assert seen >= 95


@pytest.mark.parametrize("p", [0.5, 0.6, 0.61, 0.999])
@pytest.mark.parametrize("base_rate", [[0.5] * 6, [0.51, 0.53, 0.55, 0.48, 0.47, 0.5]])
def test_constant_predictions_are_no_evidence_even_where_they_gain(
    p: float, base_rate: list[float]
) -> None:
    y_N = np.tile([1, 1, 1, 0], 30)
    found = evidence(rows_of(y_N, np.full(120, p), np.repeat(base_rate, 20)))
    assert found.p_value == 1.0
    shifted = sigmoid(logit(np.repeat(base_rate, 20)) + 0.6)
    gaining = evidence(rows_of(y_N, shifted, np.repeat(base_rate, 20)))
    assert gaining.gain > 0
    assert (gaining.p_value, gaining.statistic) == (1.0, -math.inf)


def test_scores_that_only_tell_blocks_apart_are_no_evidence() -> None:
    rng = np.random.default_rng(4)
    rate_N = np.repeat([0.2, 0.8, 0.3, 0.7, 0.2, 0.8], 50)
    y_N = (rng.random(300) < rate_N).astype(np.int64)
    assert evidence(rows_of(y_N, rate_N, n_blocks=1)).p_value < 1e-4
    found = evidence(rows_of(y_N, rate_N))
    assert found.gain > 0.1
    assert found.p_value == 1.0


@pytest.mark.parametrize("outcome", [0, 1])
def test_one_class_alone_is_no_evidence(outcome: int) -> None:
    p_N = np.random.default_rng(5).uniform(0.4, 0.6, 50)
    found = evidence(rows_of(np.full(50, outcome), p_N + (outcome - 0.5) / 2))
    assert found.gain > 0
    assert (found.p_value, found.inflation) == (1.0, math.inf)
    assert detectable_edge(found, 0.05) == math.inf


@pytest.mark.parametrize(("n_rows", "depth"), [(1, 1), (2, 1), (12, 12), (30, 30)])
def test_two_effective_rows_or_fewer_say_nothing(n_rows: int, depth: int) -> None:
    y_N = (np.arange(n_rows) % 2 == 0).astype(np.int64)
    found = evidence(rows_of(y_N, 0.3 + 0.4 * y_N, depth=depth, n_blocks=1))
    assert found.effective_rows <= 2
    assert found.gain > 0
    assert found.p_value == 1.0
    assert detectable_edge(found, 0.05) == math.inf


def test_three_rows_are_tested_with_one_degree_of_freedom() -> None:
    found = evidence(rows_of([1, 0, 1], [0.7, 0.3, 0.6], n_blocks=1))
    assert found.effective_rows == 3
    assert found.p_value == pytest.approx(stats.t.sf(found.statistic, 1))


def test_moving_all_times_changes_nothing() -> None:
    rows = irregular(6, 60, 3)
    moved = replace(rows, t0_N=rows.t0_N + 9_999 * HOUR, t1_N=rows.t1_N + 9_999 * HOUR)
    assert evidence(moved) == evidence(rows)


def test_holm_by_hand() -> None:
    # Ranked A, C, D, B: 4 x .005, 3 x .01, 2 x .03, 1 x .04 and never below the one before.
    found = holm({"A": 0.005, "B": 0.04, "C": 0.01, "D": 0.03})
    assert list(found) == ["A", "B", "C", "D"]
    assert found == pytest.approx({"A": 0.02, "B": 0.06, "C": 0.03, "D": 0.06})
    assert holm({"A": 0.9, "B": 0.8}) == {"A": 1.0, "B": 1.0}
    assert holm({"A": 0.03}) == {"A": 0.03}
    assert holm({}) == {}


@given(P_VALUES)
def test_holm_keeps_order_and_lies_between_the_raw_and_bonferronis(
    p_values: dict[str, float],
) -> None:
    adjusted = holm(p_values)
    ranked = sorted(p_values, key=lambda name: p_values[name])
    assert [adjusted[name] for name in ranked] == sorted(adjusted.values())
    for name, p_value in p_values.items():
        assert p_value <= adjusted[name] <= min(1.0, len(p_values) * p_value)


@given(P_VALUES, st.sampled_from("ABCDEFGH"), st.floats(0, 1))
def test_a_smaller_p_value_never_makes_an_adjusted_one_larger(
    p_values: dict[str, float], name: str, factor: float
) -> None:
    before = holm({**p_values, name: p_values.get(name, 1.0)})
    after = holm({**p_values, name: factor * p_values.get(name, 1.0)})
    assert all(after[one] <= before[one] for one in before)


@pytest.mark.parametrize("family", [1, 11])
def test_an_edge_called_detectable_is_seen_four_times_in_five(family: int) -> None:
    rng, n_rows, alpha = np.random.default_rng(23), 400, 0.05 / family
    edge = detectable_edge(Evidence(n_rows, n_rows, 0.0, 1.0, 0.0, 1.0), alpha)
    edges, seen = [], 0
    for _ in range(DRAWS):
        score_N = rng.standard_normal(n_rows)
        p_N = np.clip(0.5 + edge * math.sqrt(math.pi / 2) * score_N, 0.02, 0.98)
        edges.append(np.abs(p_N - 0.5).mean())
        y_N = (rng.random(n_rows) < p_N).astype(np.int64)
        seen += evidence(rows_of(y_N, p_N)).p_value <= alpha
    assert np.mean(edges) == pytest.approx(edge, abs=0.002)
    assert seen / DRAWS == pytest.approx(0.8, abs=0.03)


def test_the_detectable_edge_grows_with_family_and_overlap_and_falls_with_rows() -> None:
    plain = Evidence(400, 400.0, 0.0, 1.0, 0.0, 1.0)
    edge = detectable_edge(plain, 0.05)
    assert detectable_edge(plain, 0.05 / 11) > edge
    assert detectable_edge(replace(plain, inflation=4.0), 0.05) == pytest.approx(2 * edge)
    assert detectable_edge(replace(plain, effective_rows=20.0), 0.05) > edge
    assert detectable_edge(replace(plain, rows=1_600), 0.05) == pytest.approx(edge / 2)
    assert detectable_edge(replace(plain, score_share=0.25), 0.05) == pytest.approx(2 * edge)


def test_scores_that_hardly_move_within_a_block_leave_little_to_be_read() -> None:
    y_N = np.concatenate([np.tile([0, 0, 1], 50), np.tile([1, 1, 0], 50)])
    level_N, moving_N = np.repeat([0.4, 0.6], 150), np.tile([-0.01, 0.01], 150)
    assert evidence(rows_of(y_N, level_N + moving_N)).score_share < 0.05
    assert evidence(rows_of(y_N, 0.5 + moving_N)).score_share == pytest.approx(1)


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([0.05, 0.05 / 11]))
def test_no_edge_larger_than_any_forecast_can_have_is_called_detectable(
    n_rows: int, depth: int, alpha: float
) -> None:
    effective = max(1.0, n_rows / depth)
    found = Evidence(n_rows, effective, 0.0, 1.0, 0.0, n_rows / effective)
    edge = detectable_edge(found, alpha)
    assert 0 < edge < 0.5 or edge == math.inf


@pytest.mark.parametrize(("n_rows", "depth"), [(8, 1), (300, 1), (300, 12), (600, 24)])
def test_an_interval_holds_the_mean_as_often_as_said(n_rows: int, depth: int) -> None:
    rng = np.random.default_rng(24)
    overlaps = _hourly(n_rows, depth)
    held = 0
    for _ in range(1_000):
        low, high = mean_interval(sums_of_shared_noise(rng, n_rows, depth), overlaps, 0.95)
        held += low < 0 < high
    assert held / 1_000 == pytest.approx(0.95, abs=0.02)


def test_without_overlap_the_interval_is_students() -> None:
    value_N = np.array([0.2, 0.5, 0.1, 0.9])
    expected = stats.t.interval(0.9, 3, value_N.mean(), stats.sem(value_N))
    assert mean_interval(value_N, _hourly(4, 1), 0.9) == pytest.approx(expected)


@pytest.mark.parametrize("n_rows", [0, 1])
def test_one_row_or_none_has_no_interval(n_rows: int) -> None:
    assert mean_interval(np.ones(n_rows), _hourly(n_rows, 1), 0.95) == (-math.inf, math.inf)


def _hourly(n_rows: int, depth: int) -> Overlaps:
    t0_N = START + np.arange(n_rows) * HOUR
    return Overlaps(t0_N, t0_N + depth * HOUR)
