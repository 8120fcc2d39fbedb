"""What a command tells the tracker: plain values, no code of ours and none of MLflow's."""

import re
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
    execution
        Id that one command's work keeps through interruptions and resumptions: 1 to 64 letters,
        digits, `_` and `-`.

    Raises
    ------
    ValueError
        If `execution` is something else.
    """

    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    execution: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-]{1,64}", self.execution, re.ASCII):
            raise ValueError(
                f"execution must be 1 to 64 letters, digits, _ and -, was {self.execution!r}"
            )


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
class FigureData:
    """What the pictures of one model show; figures without data are not drawn.

    Attributes
    ----------
    title, subtitle
        Stand over every picture: which model and rows, and what no skill would score on them.
    confusion
        Rows by outcome and answer: [[tn, fp], [fn, tp]].
    reliability
        Mean probability, share of wins and number of rows of each bin.
    no_skill_accuracy, no_skill_log_loss
        Drawn beside the curves.
    curves
        Of the deployed fit: values per step by name; those that end in `_loss` and `_accuracy`
        are drawn.
    step
        What a step is, such as `epoch`.
    kept_step
        Step whose weights were kept, counted from 1, or None where it is not known.
    importance
        Features and their shares, largest first.
    """

    title: str
    subtitle: str
    confusion: Sequence[Sequence[int]]
    reliability: Sequence[tuple[float, float, int]]
    no_skill_accuracy: float
    no_skill_log_loss: float
    curves: Mapping[str, Sequence[float]]
    step: str
    kept_step: int | None
    importance: Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One symbol's one model: its result, and its files where it was trained.

    Attributes
    ----------
    symbol, model
        Together the name of the child run.
    params, tags, metrics
        Logged as they are; the tags are repeated on the model, those in
        `registry.VERSION_TAGS` on its registered version too.
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
    figures
        What is drawn of the model, or None to draw nothing.
    registered_name
        Name in the model registry (no `/` and no `:`), or None to leave it unregistered.
    registered_description
        Markdown shown with a registered model that is created for this record.
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
    figures: FigureData | None
    registered_name: str | None
    registered_description: str


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """Where a model went; all None where there is no tracker, or the model waits in its queue.

    Attributes
    ----------
    run_id
        The child run.
    version
        Version under the registered name, or None where nothing was registered.
    uri
        `models:/` address that MLflow loads the model from, or None without a model.
    model_id
        MLflow's own id of the model, or None without one.
    registered_name
        Name that `version` counts under.
    """

    run_id: str | None
    version: str | None
    uri: str | None
    model_id: str | None
    registered_name: str | None


NOT_LOGGED = LoggedModel(run_id=None, version=None, uri=None, model_id=None, registered_name=None)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What selection made of a model that has been logged.

    Attributes
    ----------
    symbol, model
        Which model; it is found by them if it waited in the queue when it was logged.
    logged
        Where the model went; nothing is told of one that was not logged.
    text
        One line: the tag `verdict` of its run, its model and its registered version.
    description
        Markdown shown on their pages.
    """

    symbol: str
    model: str
    logged: LoggedModel
    text: str
    description: str


@dataclass(frozen=True, slots=True)
class FailedData:
    """A symbol that could not be trained because of its data.

    Attributes
    ----------
    symbol
        The child run is named after it: `EURUSD data`.
    tags
        Logged as they are, beside `symbol`, `error` and `verdict`.
    error
        What is wrong with the data, in one line.
    description
        Markdown shown on the run's page.
    report
        JSON file with what was found, or None.
    """

    symbol: str
    tags: Mapping[str, str]
    error: str
    description: str
    report: Path | None


@dataclass(frozen=True, slots=True)
class StudyKey:
    """A study of a sweep: the search for one symbol's one model.

    Attributes
    ----------
    study
        Its name in the storage that its trials are shared by.
    """

    symbol: str
    model: str
    study: str


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One ended trial of a study.

    Attributes
    ----------
    number
        Its number in the study, from 0.
    params
        The hyperparameters it was fitted with.
    metrics
        Values with one figure each, such as `objective`, `log_loss` and `gap`.
    steps
        The objective after each fold so far, shown as `objective_so_far` from step 1 on.
    state
        A failed one ends as FAILED, the others as FINISHED.
    error
        Why it failed, or None.
    started_utc, ended_utc
        Its span, with a time zone.
    """

    number: int
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    steps: tuple[float, ...]
    state: Literal["complete", "pruned", "failed"]
    error: str | None
    started_utc: datetime
    ended_utc: datetime


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study that has ended.

    Attributes
    ----------
    key
        Which study.
    params, metrics, tags
        Logged as they are, tags beside those of the key.
    artifacts
        Files, each with the folder within the run that it is shown in (`""`: the top).
    description
        Markdown shown on the run's page.
    started_utc, ended_utc
        Its span, with a time zone.
    """

    key: StudyKey
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: tuple[tuple[Path, str], ...]
    description: str
    started_utc: datetime
    ended_utc: datetime
