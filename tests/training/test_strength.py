"""The strongest step within one standard error of the best, and paths that only strengthen.

Axes: N rows, S steps.
"""

import itertools
import re
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from models.base import Model
from selection.metrics import log_losses
from selection.overlap import Overlaps
from tests.models.planted import CONF, HOUR, make_model, shipped_model
from training.strength import strength_path, strongest_within_one_error

PATHS = yaml.safe_load((CONF / "regularize" / "adaptive.yaml").read_text(encoding="utf-8"))
SHIPPED = {file: steps for file, steps in PATHS.items() if file != "kind"}


def overlapping(n_rows: int, label_bars: int = 1) -> Overlaps:
    t0_N = np.datetime64("2020-01-01", "us") + np.arange(n_rows) * HOUR
    return Overlaps(t0_N, t0_N + label_bars * HOUR)


def shuffled(n_rows: int, right: float, seed: int = 2) -> tuple[Any, Any]:
    """Return balanced labels, and hints of which exactly this share is right."""
    rng = np.random.default_rng(seed)
    y_N = np.arange(n_rows) % 2
    right_N = rng.permutation(np.arange(n_rows) < round(right * n_rows))
    return y_N, np.where(right_N == (y_N == 1), 1.0, -1.0)


def believing(hint_N: Any, *beliefs: float) -> Any:
    """Return each step's probabilities: so many nats for or against by the hint."""
    return np.array([1 / (1 + np.exp(-belief * hint_N)) for belief in beliefs])


@pytest.mark.parametrize(
    ("beliefs", "chosen"),
    [
        # With 3 of 4 right believing 1.1 is best; 0.9 costs .004 nats at an error of .010, 0.7 .016
        # at .020, 0.5 .037 at .030, 0 .131 at .055, and 4 costs .456 at .145.
        ((1.1, 0.9), 1),
        ((1.1, 0.0), 0),
        ((1.1, 0.9, 0.0), 1),
        ((1.1, 0.5, 0.7, 0.0), 2),
        # The best need not be the weakest; what is weaker than the best is never taken.
        ((4.0, 1.1, 0.0), 1),
        ((4.0, 0.0, 1.1), 2),
        ((1.1, 1.1, 1.1), 2),
        ((0.0,), 0),
    ],
)
def test_the_strongest_step_within_one_error_of_the_best_is_taken(
    beliefs: tuple[float, ...], chosen: int
) -> None:
    y_N, hint_N = shuffled(100, right=0.75)
    p_SN = believing(hint_N, *beliefs)
    assert strongest_within_one_error(y_N, p_SN, overlapping(100)) == chosen


@pytest.mark.parametrize(
    ("n_rows", "label_bars", "chosen"), [(40, 1, 1), (400, 1, 0), (400, 12, 1)]
)
def test_few_rows_and_labels_that_overlap_leave_more_within_the_error(
    n_rows: int, label_bars: int, chosen: int
) -> None:
    # Hints that stay for long, so that neighbours who share their label's time say the same.
    hint_N = np.where(np.arange(n_rows) < n_rows / 2, 1.0, -1.0)
    right_N = np.random.default_rng(2).permutation(np.arange(n_rows) < 0.65 * n_rows)
    y_N = np.where(right_N == (hint_N > 0), 1, 0)
    p_SN = believing(hint_N, 0.6, 0.1)
    costs = log_losses(y_N, p_SN[1]).mean() - log_losses(y_N, p_SN[0]).mean()
    assert costs == pytest.approx(0.0319, abs=1e-3)
    found = strongest_within_one_error(y_N, p_SN, overlapping(n_rows, label_bars))
    assert found == chosen


@pytest.mark.parametrize("missing", ["all", "one"])
def test_a_step_that_lacks_predictions_is_ruled_out(missing: str) -> None:
    y_N, hint_N = shuffled(100, right=0.75)
    p_SN = believing(hint_N, 0.0, 1.1, 1.0)
    assert strongest_within_one_error(y_N, p_SN, overlapping(100)) == 2
    p_SN[2, slice(None) if missing == "all" else 57] = np.nan
    assert strongest_within_one_error(y_N, p_SN, overlapping(100)) == 1
    p_SN[1, 3] = np.nan
    assert strongest_within_one_error(y_N, p_SN, overlapping(100)) == 0


@pytest.mark.parametrize("n_steps", [1, 4])
def test_where_nothing_is_known_the_strongest_is_taken(n_steps: int) -> None:
    nothing = np.zeros((n_steps, 0)), overlapping(0)
    assert strongest_within_one_error(np.zeros(0, dtype=np.int64), *nothing) == n_steps - 1
    y_N, _ = shuffled(10, right=0.5)
    p_SN = np.full((n_steps, 10), np.nan)
    assert strongest_within_one_error(y_N, p_SN, overlapping(10)) == n_steps - 1


@given(
    seed=st.integers(0, 10**6),
    n_rows=st.integers(1, 80),
    n_steps=st.integers(1, 5),
    label_bars=st.integers(0, 20),
)
def test_the_step_taken_is_never_weaker_than_the_best(
    seed: int, n_rows: int, n_steps: int, label_bars: int
) -> None:
    rng = np.random.default_rng(seed)
    y_N, p_SN = rng.integers(0, 2, n_rows), rng.uniform(0, 1, (n_steps, n_rows))
    taken = strongest_within_one_error(y_N, p_SN, overlapping(n_rows, label_bars))
    assert taken >= int(np.argmin([log_losses(y_N, p_N).mean() for p_N in p_SN]))


def size(value: Any) -> float:
    return float(sum(value) if isinstance(value, list) else value)


def is_weaker(model: Model, name: str, value: Any, other: Any) -> bool:
    """Return whether a value regularises less than another one."""
    smaller = size(value) < size(other)
    larger = size(value) > size(other)
    return smaller if model.stronger_when[name] == "larger" else larger


widths = st.integers(1, 256)
shares = st.floats(0.0, 0.99)
VALUES: dict[str, dict[str, Any]] = {
    "random_forest": {
        "max_depth": st.integers(1, 20),
        "min_samples_leaf": st.integers(1, 100),
        "min_leaf_share": shares,
    },
    "xgboost": {
        "n_estimators": st.integers(1, 500),
        "max_depth": st.integers(1, 10),
        "learning_rate": st.floats(0.001, 1.0),
        "min_child_weight": st.integers(0, 50),
        "reg_alpha": st.floats(0.0, 10.0),
        "reg_lambda": st.floats(0.0, 10.0),
    },
    "mlp": {
        "hidden": st.lists(widths, min_size=1, max_size=3),
        "dropout": shares,
        "weight_decay": st.floats(0.0, 5.0),
    },
    "lstm": {"hidden": widths, "dropout": shares, "weight_decay": st.floats(0.0, 5.0)},
}


@given(data=st.data(), file=st.sampled_from(sorted(VALUES)))
def test_no_step_is_weaker_than_what_is_configured_in_any_key(data: Any, file: str) -> None:
    of_file = VALUES[file]
    model = make_model(file, **data.draw(st.fixed_dictionaries(of_file)))
    steps = data.draw(st.lists(st.fixed_dictionaries({}, optional=of_file), max_size=4))
    own = model.hyperparameters
    path = strength_path(model, steps)
    for step in path:
        assert set(step) == set(own)
        changed = {name for name in own if step[name] != own[name]}
        assert changed <= set(model.stronger_when)
        assert not any(is_weaker(model, name, step[name], own[name]) for name in changed)
        assert type(model)(**step).hyperparameters == step
    assert all(first != second for first, second in itertools.pairwise([own, *path]))
    # What strengthens is taken over, not only what weakens left out.
    for step in steps:
        wanted = {n for n, value in step.items() if is_weaker(model, n, own[n], value)}
        kept = {name: step[name] for name in wanted}
        assert any(kept.items() <= one.items() for one in [own, *path])


def test_steps_that_change_nothing_over_the_one_before_are_dropped() -> None:
    forest = make_model("random_forest", min_leaf_share=0.1)
    steps = [{"min_leaf_share": share} for share in (0.025, 0.1, 0.15, 0.05, 0.15, 0.15, 0.2)]
    found = [one["min_leaf_share"] for one in strength_path(forest, steps)]
    assert found == [0.15, 0.1, 0.15, 0.2]
    assert strength_path(forest, []) == strength_path(forest, [{}, {}]) == []


@pytest.mark.parametrize(
    ("file", "name", "known"),
    [
        (
            "random_forest",
            "n_estimators",
            "max_depth, min_samples_leaf, min_leaf_share, max_samples",
        ),
        ("mlp", "patience", "hidden, dropout, weight_decay, label_smoothing"),
        ("council", "reg_lambda", "none"),
    ],
)
def test_a_step_with_a_key_that_is_no_measure_of_strength_is_refused_by_name(
    file: str, name: str, known: str
) -> None:
    model = make_model(file)
    sentence = f"1.{name} is no measure of strength in {model.name}; those are: {known}"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        strength_path(model, [{}, {name: 3}])


def test_every_model_with_a_measure_of_strength_has_a_shipped_path() -> None:
    assert set(SHIPPED) == set(VALUES)


@pytest.mark.parametrize("file", sorted(SHIPPED))
def test_the_shipped_steps_only_strengthen_what_is_shipped(file: str) -> None:
    model = shipped_model(file)
    own, steps = model.hyperparameters, SHIPPED[file]
    # Nothing was held back, as it would be where a step weakened a value.
    assert strength_path(model, steps) == [{**own, **step} for step in steps]
    for before, after in itertools.pairwise([own, *({**own, **step} for step in steps)]):
        names = [name for name in model.stronger_when if before[name] != after[name]]
        assert names
        assert all(is_weaker(model, name, before[name], after[name]) for name in names)
