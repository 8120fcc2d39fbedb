"""One thread for torch, and each model fitted once on rows with a signal."""

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pytest

from market.samples import Samples
from models.base import Model
from models.monitor import TrainingMonitor
from tests.models.planted import make_model, signal

Fitted = Callable[[str], Model]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def rows() -> Samples:
    """260 rows: 200 to fit on and 60 to be stopped by."""
    return signal(260, seed=5)


@pytest.fixture(scope="session")
def fit(rows: Samples) -> Callable[..., Model]:
    """Return a function that fits a fresh model of a file on ``rows`` with a seed."""

    def fit(file: str, seed: int = 1, model: Model | None = None) -> Model:
        model = make_model(file) if model is None else model
        train, valid = rows.take(slice(0, 200)), rows.take(slice(200, 260))
        rng = np.random.default_rng(seed)
        model.fit(train, valid, rng=rng, monitor=TrainingMonitor())
        return model

    return fit


@pytest.fixture(scope="session")
def fitted(fit: Callable[..., Model]) -> Fitted:
    """Return each model fitted with seed 1; it must not be changed."""
    return cache(lambda file: fit(file))
