"""What a sweep may try stays inside the regularised region, and comes back as it went."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import Model
from tests.models.planted import CONF, shipped_model
from tests.training.spies import Believer
from training.tuning.space import Choices, Range, SearchSpace

FILES = sorted(path.stem for path in (CONF / "search").glob("*.yaml"))
HIDDEN = [[256, 128, 64], [64, 32], [8]]


def shipped(file: str) -> dict[str, Range | Choices]:
    """Return the ranges of a file in conf/search."""
    text = (CONF / "search" / f"{file}.yaml").read_text(encoding="utf-8")
    return {
        name: Choices(**values) if "choices" in values else Range(**values)
        for name, values in yaml.safe_load(text).items()
    }


def space(model: Model, *, unbounded: bool = False, **ranges: Range | Choices) -> SearchSpace:
    return SearchSpace(model, ranges, unbounded=unbounded)


def drawn(
    one: SearchSpace, seed: int, n_trials: int = 40, first: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return what plain random search would try."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    study.enqueue_trial(first or {})
    trials = [study.ask(one.distributions()) for _ in range(n_trials)]
    return [one.hyperparameters(trial.params) for trial in trials]


def size(value: Any) -> float:
    return float(sum(value)) if isinstance(value, list) else float(value)


def weaker(model: Model, made: dict[str, Any]) -> list[str]:
    """Name the hyperparameters that regularise less than the model's own."""
    signs = {name: 1 if more == "larger" else -1 for name, more in model.stronger_when.items()}
    own = model.hyperparameters
    return [
        name for name, sign in signs.items() if sign * size(made[name]) < sign * size(own[name])
    ]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_that_is_tried_regularises_less_than_what_is_configured(
    file: str, seed: int
) -> None:
    model = shipped_model(file)
    one = space(model, **shipped(file))
    for made in drawn(one, seed):
        assert weaker(model, made) == []
        assert {name for name in made if made[name] != model.hyperparameters[name]} <= set(
            one.asked
        )
        type(model)(**made)


@pytest.mark.parametrize("file", FILES)
def test_unbounded_the_ranges_are_tried_whole(file: str) -> None:
    model, asked = shipped_model(file), shipped(file)
    one, bounded = (space(model, unbounded=lifted, **asked) for lifted in (True, False))
    assert one.tried == asked
    found = {name for made in drawn(one, seed=1) for name in weaker(model, made)}
    assert found == {name for name in asked if bounded.tried[name] != asked[name]} != set()


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("unbounded", [False, True])
def test_what_is_configured_can_be_tried_and_comes_back_as_it_went(
    file: str, unbounded: bool
) -> None:
    model = shipped_model(file)
    one = space(model, unbounded=unbounded, **shipped(file))
    for made in (model.hyperparameters, *drawn(one, seed=3)):
        params = one.params(made)
        assert params is not None
        assert set(params) == set(one.distributions())
        assert drawn(one, seed=1, n_trials=1, first=params) == [made]
        assert one.hyperparameters(params) == made


numbers = st.one_of(st.integers(-5, 300), st.floats(-5, 300, allow_nan=False).map(float))


@settings(max_examples=200)
@given(own=st.floats(0.01, 200), low=numbers, high=numbers, log=st.booleans())
def test_whatever_range_is_asked_for_nothing_weaker_than_the_configured_value_is_in_it(
    own: float, low: float, high: float, log: bool
) -> None:
    low, high = sorted((max(low, 0.001) if log else low, max(high, 0.001)))
    if low >= min(own, high):
        with pytest.raises(ValueError, match=r"^nothing is left to be tried"):
            space(Believer(belief=own), belief=Range(low, high, log))
        return
    one = space(Believer(belief=own), belief=Range(low, high, log))
    tried = one.tried["belief"]
    assert isinstance(tried, Range)
    assert (tried.low, tried.high, tried.whole) == (low, min(high, own), False)
    assert all(made["belief"] <= own for made in drawn(one, seed=1, n_trials=5))


def test_lists_among_choices_are_known_by_their_text_and_come_back_as_lists() -> None:
    one = space(shipped_model("mlp"), hidden=Choices(HIDDEN), batch_size=Choices([32, 64]))
    (names, sizes) = (one.distributions()[name].choices for name in ("hidden", "batch_size"))  # type: ignore[attr-defined]
    assert (names, sizes) == (("[256, 128, 64]", "[64, 32]", "[8]"), (32, 64))
    made = one.hyperparameters({"hidden": "[64, 32]", "batch_size": 32})
    assert made["hidden"] == [64, 32]
    assert one.params(made) == {"hidden": "[64, 32]", "batch_size": 32}
    assert one.params({**made, "hidden": [7]}) is None


def test_of_a_choice_between_widths_the_wider_ones_are_left_out() -> None:
    model = shipped_model("mlp", hidden=[64, 32])
    one = space(model, hidden=Choices(HIDDEN))
    assert one.tried["hidden"] == Choices([[64, 32], [8]])
    assert space(model, hidden=Choices([[8], [4]])).tried["hidden"] == Choices([[8], [4]])
    assert space(model, unbounded=True, hidden=Choices(HIDDEN)).tried["hidden"] == Choices(HIDDEN)


def test_a_hyperparameter_without_room_to_vary_stays_as_configured_and_is_told() -> None:
    model = shipped_model("xgboost")
    one = space(model, max_depth=Range(6, 8), reg_lambda=Range(1.0, 50.0, log=True))
    assert set(one.tried) == {"reg_lambda"}
    assert {made["max_depth"] for made in drawn(one, seed=1)} == {
        model.hyperparameters["max_depth"]
    }
    assert one.in_words() == [
        ("max_depth", "4 only", "of 6 to 8"),
        ("reg_lambda", "2 to 50 (log)", "of 1 to 50 (log)"),
    ]


def test_whole_numbers_are_tried_where_both_ends_are_whole() -> None:
    one = space(shipped_model("xgboost"), max_depth=Range(1, 4), subsample=Range(0.4, 0.7))
    depths = {made["max_depth"] for made in drawn(one, seed=1)}
    assert depths == {1, 2, 3, 4}
    assert all(isinstance(depth, int) for depth in depths)
    assert one.params({**shipped_model("xgboost").hyperparameters, "max_depth": 2.5}) is None
    assert one.params({**shipped_model("xgboost").hyperparameters, "max_depth": True}) is None
    assert one.params({**shipped_model("xgboost").hyperparameters, "max_dept": 2}) is None


@pytest.mark.parametrize(
    ("ranges", "sentence"),
    [
        ({"max_depth": Range(0, 4)}, "max_depth: 0 cannot be tried: max_depth must be at least 1"),
        ({"subsample": Range(-0.5, 1.0)}, "subsample: -0.5 cannot be tried: subsample must be"),
        ({"max_depth": Choices([3, -1])}, "max_depth: -1 cannot be tried: max_depth must be"),
        ({"max_depth": Range(4, 4)}, "nothing is left to be tried; give a range that is wider"),
        ({}, "nothing is left to be tried"),
        ({"max_depth": Choices([3, "deep"])}, "max_depth: "),
        ({"max_depth": Choices([None, 3])}, "max_depth: "),
        ({"max_depth": Range(1, 3.5)}, "max_depth: must be whole numbers, was 3.5"),
        ({"max_bin": Choices([128.5])}, "max_bin: must be whole numbers, was 128.5"),
    ],
)
@pytest.mark.parametrize("unbounded", [False, True])
def test_what_cannot_be_tried_is_refused_in_one_line(
    ranges: dict[str, Range | Choices], sentence: str, unbounded: bool
) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - compared below, as it stands
        space(shipped_model("xgboost"), unbounded=unbounded, **ranges)
    assert str(refusal.value).startswith(sentence)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("file", "ranges"),
    [
        ("mlp", {"hidden": Range(4, 128)}),
        ("mlp", {"hidden": Choices([[8], ["a"]])}),
        ("mlp", {"hidden": Choices([[8], []])}),
        ("random_forest", {"max_features": Range(1, 5)}),
        ("random_forest", {"max_depth": Choices([[3], 4])}),
    ],
)
def test_a_range_of_another_kind_than_the_configured_value_is_refused_in_one_line(
    file: str, ranges: dict[str, Range | Choices]
) -> None:
    (name,) = ranges
    with pytest.raises(ValueError, match=rf"^{name}: "):
        space(shipped_model(file), **ranges)


@pytest.mark.parametrize(
    ("low", "high", "log", "sentence"),
    [
        (3, 2, False, "low must not be above high (2), was 3"),
        (1.0, float("inf"), False, "low and high must be finite, were 1.0 and inf"),
        (float("nan"), 2.0, False, "low must not be above high (2.0), was nan"),
        (0.0, 2.0, True, "low must be above 0 with log: true, was 0.0"),
    ],
)
def test_a_range_without_numbers_is_refused(
    low: float, high: float, log: bool, sentence: str
) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - compared below, as it stands
        Range(low, high, log)
    assert str(refusal.value) == sentence
    with pytest.raises(ValueError, match=r"^choices must hold a value, was empty$"):
        Choices([])
