"""What the monitor finds, at its thresholds and around them, and that every model asks it."""

import inspect
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from models.base import ModelError
from models.monitor import TrainingMonitor
from tests.models.planted import CONF, make_model, signal, ticking

ABOVE = math.nextafter(0.95, 1)
BELOW = math.nextafter(0.60, 0)


def test_the_configured_thresholds_are_the_defaults() -> None:
    conf = yaml.safe_load((CONF / "monitor" / "default.yaml").read_text(encoding="utf-8"))
    parameters = inspect.signature(TrainingMonitor).parameters
    given = ("clock", "gives_up")
    assert conf == {key: parameters[key].default for key in parameters if key not in given}


@pytest.mark.parametrize(
    ("train", "val", "found"),
    [
        (0.95, 0.10, False),
        (1.00, 0.60, False),
        (ABOVE, 0.60, False),
        (0.95, BELOW, False),
        (ABOVE, BELOW, True),
        (math.nan, 0.5, False),
    ],
)
def test_overfitting_is_above_one_share_and_below_the_other(
    train: float, val: float, found: bool
) -> None:
    monitor = TrainingMonitor()
    assert monitor.check_overfitting(train, val, 3) is found
    assert bool(monitor.get_warnings()) is found
    assert not monitor.should_stop


@pytest.mark.parametrize(("n_rises", "found"), [(8, False), (9, False), (10, True), (30, True)])
def test_divergence_is_ten_rises_in_a_row(n_rises: int, found: bool) -> None:
    monitor = TrainingMonitor()
    losses = [0.9, 0.7, *(0.7 + 0.01 * rise for rise in range(1, n_rises + 1))]
    assert monitor.check_divergence(losses) is found
    assert not monitor.should_stop


@given(st.integers(1, 10), st.sampled_from([0.0, -0.001]))
def test_one_step_that_does_not_rise_is_no_divergence(broken: int, step: float) -> None:
    steps = np.full(10, 0.01)
    assert TrainingMonitor().check_divergence(list(np.cumsum([0.7, *steps])))
    steps[broken - 1] = step
    assert not TrainingMonitor().check_divergence(list(np.cumsum([0.7, *steps])))


def test_a_patience_given_to_the_call_replaces_the_constructors() -> None:
    rising = [0.1, 0.2, 0.3, 0.4]
    assert TrainingMonitor().check_divergence(rising, 3)
    assert TrainingMonitor().check_divergence(rising, patience=2)
    assert not TrainingMonitor().check_divergence(rising, patience=4)
    assert TrainingMonitor(divergence_patience=3).check_divergence(rising)
    assert not TrainingMonitor().check_divergence([])


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_the_fit(loss: float) -> None:
    monitor = TrainingMonitor()
    assert not monitor.check_nan_loss(1e300, 0)
    assert not monitor.should_stop
    assert monitor.check_nan_loss(loss, 4)
    assert monitor.should_stop
    assert monitor.get_warnings() == [f"loss is {loss} at epoch 4: training ended"]


@pytest.mark.parametrize(
    ("norm", "found"), [(10.0, False), (math.nextafter(10.0, 11), True), (math.nan, True)]
)
def test_gradients_explode_above_ten(norm: float, found: bool) -> None:
    monitor = TrainingMonitor()
    assert monitor.check_exploding_gradients(norm) is found
    assert not monitor.should_stop


def test_a_gradient_threshold_given_to_the_call_replaces_the_constructors() -> None:
    assert TrainingMonitor().check_exploding_gradients(3.0, 2.0)
    assert TrainingMonitor(max_grad_norm=2.0).check_exploding_gradients(3.0, epoch=1)
    assert not TrainingMonitor(max_grad_norm=2.0).check_exploding_gradients(3.0, threshold=5.0)


@pytest.mark.parametrize(("now_s", "found"), [(1600.0, False), (1600.5, True)])
def test_a_timeout_is_more_than_ten_minutes_and_ends_the_fit(now_s: float, found: bool) -> None:
    monitor = TrainingMonitor(clock=lambda: now_s)
    assert monitor.check_timeout(1000.0) is found
    assert monitor.should_stop is found
    assert monitor.check_timeout(1000.0, max_minutes=1.0)
    assert monitor.should_stop


def test_a_fit_is_given_up_where_whoever_wants_it_says_so_and_by_nobody_else() -> None:
    asked: list[list[float]] = []

    def gives_up(losses: Sequence[float]) -> bool:
        asked.append(list(losses))
        return len(losses) > 2

    monitor = TrainingMonitor(gives_up=gives_up)
    assert not monitor.check_hopeless([0.7, 0.6])
    assert not monitor.should_stop
    assert monitor.check_hopeless([0.7, 0.6, 0.5])
    assert monitor.should_stop
    assert monitor.stop_reason == "given up at epoch 2: others did better"
    assert asked == [[0.7, 0.6], [0.7, 0.6, 0.5]]
    assert not TrainingMonitor().check_hopeless([9.0] * 99)


def test_a_sentence_names_the_epoch_and_the_numbers_and_each_kind_comes_once() -> None:
    monitor = TrainingMonitor(clock=lambda: 601.0)
    for epoch in (4, 5):
        monitor.check_exploding_gradients(12.34 + epoch, epoch=epoch)
        monitor.check_overfitting(0.987, 0.512, epoch)
        monitor.check_divergence([0.5 + 0.01 * rise for rise in range(epoch + 8)])
        monitor.check_timeout(0.0)
        monitor.check_nan_loss(math.nan, epoch)
    assert monitor.get_warnings() == [
        "exploding gradients at epoch 4: norm 16.3 above 10",
        "overfitting from epoch 4: train accuracy 0.987, validation accuracy 0.512",
        "divergence at epoch 11: validation loss rose 10 epochs in a row, to 0.6100",
        "timeout: over 10 minutes, training ended",
        "loss is nan at epoch 4: training ended",
    ]
    assert monitor.stop_reason == "timeout: over 10 minutes, training ended"


def test_the_list_of_warnings_is_the_readers_own() -> None:
    monitor = TrainingMonitor()
    monitor.get_warnings().append("mine")
    assert monitor.get_warnings() == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("overfit_train_accuracy", 1.1),
        ("overfit_val_accuracy", -0.1),
        ("overfit_val_accuracy", math.nan),
        ("divergence_patience", 0),
        ("max_grad_norm", 0.0),
        ("max_grad_norm", math.nan),
        ("max_minutes", 0.0),
        ("max_minutes", math.nan),
    ],
)
def test_thresholds_out_of_range_are_named(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{key} must be .*, was {value}$"):
        TrainingMonitor(**{key: value})


class Counting(TrainingMonitor):
    """Counts how often each check is asked for."""

    def __init__(self, **thresholds: Any) -> None:
        super().__init__(**thresholds)
        self.asked: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("check_"):
            self.asked[name.removeprefix("check_")] += 1
        return super().__getattribute__(name)


def watched_fit(file: str, monitor: TrainingMonitor, **changes: Any) -> int:
    rows = signal(160, seed=1)
    train, valid = rows.take(slice(0, 120)), rows.take(slice(120, 160))
    model, rng = make_model(file, **changes), np.random.default_rng(0)
    return model.fit(train, valid, rng=rng, monitor=monitor).n_rounds


@pytest.mark.parametrize("file", ["mlp", "lstm"])
def test_nets_ask_every_check_each_epoch(file: str) -> None:
    monitor = Counting()
    n_epochs = watched_fit(file, monitor, max_epochs=6)
    once = ("exploding_gradients", "overfitting", "divergence", "hopeless", "timeout")
    assert n_epochs == 6
    assert monitor.asked == {**dict.fromkeys(once, 6), "nan_loss": 12}


def test_boosting_asks_each_round() -> None:
    monitor = Counting()
    assert watched_fit("xgboost", monitor, n_estimators=6) == 6
    once = ("nan_loss", "overfitting", "divergence", "hopeless", "timeout")
    assert monitor.asked == dict.fromkeys(once, 6)


def test_the_forest_asks_with_its_out_of_bag_accuracy() -> None:
    monitor = Counting(overfit_train_accuracy=0.5, overfit_val_accuracy=0.999)
    watched_fit("random_forest", monitor)
    assert monitor.asked == {"overfitting": 1, "timeout": 1}
    (sentence,) = monitor.get_warnings()
    shares = [
        float(word.strip(",")) for word in sentence.split() if word[0].isdigit() and "." in word
    ]
    assert 0.5 < shares[1] < shares[0] < 1


@pytest.mark.parametrize("file", ["random_forest", "xgboost", "logistic"])
def test_a_timeout_ends_every_other_model_too(file: str) -> None:
    # The forest overfits at the same time: the error still names the timeout.
    monitor = TrainingMonitor(
        clock=ticking(700.0), overfit_train_accuracy=0.1, overfit_val_accuracy=1.0
    )
    with pytest.raises(ModelError, match=r"^timeout: over 10 minutes, training ended$"):
        watched_fit(file, monitor)


def test_boosting_stops_at_the_round_of_the_timeout() -> None:
    monitor = Counting(clock=ticking(150.0))
    with pytest.raises(ModelError, match=r"^timeout"):
        watched_fit("xgboost", monitor)
    assert monitor.asked["timeout"] == 5
