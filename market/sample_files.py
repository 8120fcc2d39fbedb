"""Samples on disk, mapped into every process that works on them instead of being sent to it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from market.samples import Samples

NAMES = "names.json"
ARRAYS = ("x_NF", "y_N", "weight_N", "t0_N", "t1_N")


@dataclass(frozen=True, slots=True)
class MappedSamples(Samples):
    """Samples whose arrays are files: pickled, they are the name of their folder.

    Attributes
    ----------
    folder : Path
    """

    folder: Path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        """Return how another process opens the same files."""
        return mapped_samples, (self.folder,)


def map_samples(samples: Samples, folder: Path) -> MappedSamples:
    """Write samples into a folder of their own, made where it is missing, and open them there.

    Raises
    ------
    OSError
        Naming the file that could not be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ARRAYS:
        _write_array(folder / f"{name}.npy", getattr(samples, name))
    (folder / NAMES).write_text(json.dumps(samples.names_F), encoding="utf-8")
    return mapped_samples(folder)


def _write_array(path: Path, array: npt.NDArray[Any]) -> None:
    array = np.ascontiguousarray(array)
    header = np.lib.format.header_data_from_array_1_0(array)
    try:
        # By hand: where the disk is full, numpy's own way of writing tells neither why nor where.
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.write(array.view(np.uint8).data)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def mapped_samples(folder: Path) -> MappedSamples:
    """Open what `map_samples` wrote; the arrays are read from disk as they are used."""
    # As plain arrays: numpy's class for mapped ones would go on through every calculation.
    arrays: dict[str, Any] = {
        name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))
        for name in ARRAYS
    }
    names_F = tuple(json.loads((folder / NAMES).read_text(encoding="utf-8")))
    return MappedSamples(**arrays, names_F=names_F, folder=folder)
