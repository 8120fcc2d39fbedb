"""Samples in files: the same samples, in this process and sent to another."""

import pickle
from pathlib import Path

import numpy as np

from market.sample_files import ARRAYS, MappedSamples, map_samples
from tests.models.planted import signal


def test_what_is_mapped_is_what_was_written(tmp_path: Path) -> None:
    rows = signal(500, seed=1, weight_N=np.linspace(0.1, 1.0, 500))
    mapped = map_samples(rows, tmp_path / "EURUSD")
    assert mapped.digest() == rows.digest()
    assert mapped.names_F == rows.names_F
    assert mapped.take(slice(3, 40)).digest() == rows.take(slice(3, 40)).digest()
    # Calculations go on with ordinary arrays.
    assert {type(getattr(mapped, name)) for name in ARRAYS} == {np.ndarray}


def test_it_is_sent_as_the_name_of_its_folder(tmp_path: Path) -> None:
    mapped = map_samples(signal(5000, seed=1), tmp_path)
    sent = pickle.dumps(mapped)
    assert len(sent) < 300
    received = pickle.loads(sent)  # noqa: S301 - made in the line before
    assert isinstance(received, MappedSamples)
    assert received.digest() == mapped.digest()


def test_nobody_can_change_what_all_read(tmp_path: Path) -> None:
    mapped = map_samples(signal(50, seed=1), tmp_path)
    assert not any(getattr(mapped, name).flags.writeable for name in ARRAYS)
