"""One thread for torch; the spies' records start empty."""

from collections.abc import Iterator

import pytest

from tests.training.spies import Believer, Nearest


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    Nearest.seen.clear()
    Nearest.fails_at = frozenset()
    Believer.fits.clear()
    Believer.fails = None
