"""What a training run tells the tracker: plain values, no code of ours and none of MLflow's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True)
class RunStart:
    """The parent run of one training command.

    Attributes
    ----------
    name
        Run name as it stands in the list of runs.
    params
        The resolved configuration, flattened; long values are cut to MLflow's limit.
    tags
        Facts to search by, such as the git commit and `simulated` or `real`.
    """

    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """The rows one model was trained and judged on.

    Attributes
    ----------
    name
        Name of the data set, for example the symbol and its bar length.
    digest
        Fingerprint of the rows. MLflow keeps 36 characters of it; the run tag
        `dataset_digest` keeps all.
    source
        File or generator the bars came from.
    x_columns
        Feature names, in column order.
    n_rows
        Number of rows.
    profile
        Further figures of the data, such as the first and last day and the base rate.
    """

    name: str
    digest: str
    source: str
    x_columns: tuple[str, ...]
    n_rows: int
    profile: Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One symbol's one model: its result, and its files where it was trained.

    Attributes
    ----------
    symbol, model
        Together the name of the child run.
    params, tags, metrics
        Logged as they are; the tags are repeated on the registered version.
    curves
        Values per epoch by name; the first epoch is step 1.
    result_json_name, result_json
        File name and text of the training result.
    dataset
        The rows, or None where training ended before they were known.
    artifact_folder
        Folder of the saved model, or None where there is no model.
    loader_module
        Importable module whose `_load_pyfunc(path)` reads a copy of that folder.
    pip_requirements
        Pinned packages that loading the model needs.
    features
        Input column names, in order.
    input_example
        A few rows of features, shape (n, F), or None.
    error
        Why the model failed; the child run then ends as FAILED.
    started_utc, ended_utc
        Span of the training, with a time zone.
    registered_name
        Name in the model registry (no `/` and no `:`), or None to leave it unregistered.
    description
        Sentence shown with the registered version.
    """

    symbol: str
    model: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: Mapping[str, Sequence[float]]
    result_json_name: str
    result_json: str
    dataset: DatasetRecord | None
    artifact_folder: Path | None
    loader_module: str
    pip_requirements: tuple[str, ...]
    features: tuple[str, ...]
    input_example: NDArray[np.float64] | None
    error: str | None
    started_utc: datetime
    ended_utc: datetime
    registered_name: str | None
    description: str


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """Where a model went; all None where the tracker is off.

    Attributes
    ----------
    run_id
        The child run.
    version
        Version under the registered name, or None where nothing was registered.
    uri
        `models:/` address that MLflow loads the model from, or None without a model.
    """

    run_id: str | None
    version: str | None
    uri: str | None


NOT_LOGGED = LoggedModel(run_id=None, version=None, uri=None)
