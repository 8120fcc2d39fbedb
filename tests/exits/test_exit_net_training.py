"""Fitting the net: weighted, the best epoch kept, ended by the monitor, equal for equal seeds."""

import dataclasses

import numpy as np
import pytest
import torch

from exits.exit_net import WIDTHS
from exits.exit_net_training import Lessons, NetSettings, exit_net_of, new_net, train_exit_net
from models.monitor import TrainingMonitor

SETTINGS = NetSettings(
    dropout=[0.1, 0.1, 0.1],
    learning_rate=2e-3,
    batch_size=64,
    max_epochs=3,
    patience=20,
    lr_patience=5,
    lr_factor=0.5,
)


def lessons(n=128, seed=1):
    """Return rows whose first parameter follows the first feature; half of them weigh nothing."""
    rng = np.random.default_rng(seed)
    unit_NF = np.full((n, WIDTHS[0]), 0.5, np.float32)
    unit_NF[:, :5] += 0.1 * rng.random((n, 5), np.float32)
    target_NP = np.full((n, WIDTHS[-1]), 0.3, np.float32)
    target_NP[:, 0] = 10.0 * (unit_NF[:, 0] - 0.5)
    weight_NP = np.ones_like(target_NP)
    target_NP[::2, 1], weight_NP[::2, 1] = 1.0, 0.0
    return Lessons(unit_NF=unit_NF, target_NP=target_NP, weight_NP=weight_NP)


def fitted(held=None, monitor=None, seed=1, on_epoch=None, **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    held = held or lessons(seed=2)
    monitor = monitor or TrainingMonitor()
    return train_exit_net(lessons(), held, settings, seed=seed, monitor=monitor, on_epoch=on_epoch)


def bytes_of(net):
    return b"".join(array.tobytes() for layer in net.layers for array in layer)


@pytest.fixture(scope="module")
def trained():
    return fitted()


def test_the_net_of_pytorch_and_the_compiled_one_answer_alike():
    torch.manual_seed(3)
    net = new_net([0.3, 0.3, 0.2]).eval()
    unit_KF = lessons().unit_NF
    with torch.inference_mode():
        expected_KP = net(torch.from_numpy(unit_KF)).numpy()
    np.testing.assert_allclose(exit_net_of(net).forward(unit_KF), expected_KP, rtol=0, atol=1e-6)
    assert sum(one.numel() for one in net.parameters()) == 219_012


def test_it_learns_what_weighs_and_nothing_of_what_weighs_nothing():
    trained = fitted(max_epochs=40, dropout=[0.0] * 3)
    answer_NP = trained.net.forward(lessons(seed=2).unit_NF)
    told = np.corrcoef(answer_NP[:, 0], lessons(seed=2).unit_NF[:, 0])[0, 1]
    assert told > 0.8
    np.testing.assert_allclose(answer_NP[:, 1].mean(), 0.3, atol=0.03)


def test_equal_seeds_give_equal_bytes_and_leave_the_callers_chance_alone(trained):
    torch.manual_seed(9)
    expected = torch.rand(1).item()
    torch.manual_seed(9)
    threads = torch.get_num_threads()
    again = fitted()
    assert (torch.rand(1).item(), torch.get_num_threads()) == (expected, threads)
    assert bytes_of(again.net) == bytes_of(trained.net)
    assert again.curves == trained.curves
    assert bytes_of(fitted(seed=2).net) != bytes_of(trained.net)


def test_held_back_rows_decide_when_to_stop_and_nothing_else(trained):
    other = fitted(held=lessons(seed=7))
    assert other.curves["train_loss"] == trained.curves["train_loss"]
    assert other.curves["grad_norm"] == trained.curves["grad_norm"]
    assert other.curves["val_loss"] != trained.curves["val_loss"]


def test_the_best_epoch_is_kept_and_patience_ends_the_fit():
    told = []
    away = lessons(seed=2)
    away = dataclasses.replace(away, target_NP=1.0 - away.target_NP)
    found = fitted(
        held=away,
        max_epochs=30,
        patience=3,
        lr_patience=1,
        on_epoch=lambda epoch, *losses: told.append((epoch, *losses)),
    )
    losses = found.curves["val_loss"]
    assert found.best_epoch == 1 + int(np.argmin(losses))
    assert len(losses) == found.best_epoch + 3 < 30
    assert found.val_loss == min(losses)
    assert told == [*zip(range(1, 31), found.curves["train_loss"], losses, strict=False)]
    until = fitted(held=away, max_epochs=found.best_epoch)
    assert bytes_of(until.net) == bytes_of(found.net)
    rates = found.curves["learning_rate"]
    assert rates[0] == 2e-3
    assert rates[-1] == 1e-3


def test_a_loss_that_is_no_number_ends_the_fit_at_once():
    monitor = TrainingMonitor()
    spoilt = lessons(seed=2)
    spoilt.target_NP[3, 5] = np.nan
    with pytest.raises(ValueError, match=r"^the loss of the exit net is nan$"):
        fitted(held=spoilt, monitor=monitor)
    assert monitor.stop_reason == "loss is nan at epoch 1: training ended"


def test_a_time_out_ends_the_fit_with_what_it_has():
    ticks = iter(range(0, 10_000, 40))
    monitor = TrainingMonitor(max_minutes=1.0, clock=lambda: next(ticks))
    found = fitted(monitor=monitor, max_epochs=50)
    assert len(found.curves["val_loss"]) == 2
    assert monitor.stop_reason == "timeout: over 1 minutes, training ended"
    assert found.best_epoch in (1, 2)


def test_whoever_wants_the_fit_may_give_it_up():
    monitor = TrainingMonitor(gives_up=lambda losses: len(losses) == 1)
    assert len(fitted(monitor=monitor).curves["val_loss"]) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dropout": [0.1, 0.1]}, r"dropout must be 3 shares in [0, 1), was [0.1, 0.1]"),
        ({"dropout": [0.1, 0.1, 1.0]}, r"dropout must be 3 shares in [0, 1), was [0.1, 0.1, 1.0]"),
        ({"dropout": [0.1, 0.1, np.nan]}, "dropout must be 3 shares in [0, 1)"),
        ({"learning_rate": 0.0}, "learning_rate must be in (0, 1), was 0.0"),
        ({"learning_rate": np.nan}, "learning_rate must be in (0, 1), was nan"),
        ({"lr_factor": 1.0}, "lr_factor must be in (0, 1), was 1.0"),
        ({"batch_size": 0}, "batch_size must be at least 1, was 0"),
        ({"max_epochs": 0}, "max_epochs must be at least 1, was 0"),
        ({"patience": 0}, "patience must be at least 1, was 0"),
        ({"lr_patience": -1}, "lr_patience must be at least 1, was -1"),
    ],
)
def test_settings_out_of_range_are_refused_in_one_line(changes, said):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        dataclasses.replace(SETTINGS, **changes)
    assert str(refused.value).startswith(said)
