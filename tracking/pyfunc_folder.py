"""Writes a trained model in MLflow's folder form, with signature, example and requirements."""

from pathlib import Path
from typing import Any

import numpy as np

from tracking.records import ModelRecord


def write_pyfunc_folder(folder: Path, record: ModelRecord, *, logged_model: Any) -> None:
    """Copy the saved model to `folder` together with what MLflow needs to load it.

    Parameters
    ----------
    folder
        Folder to create; it must not exist.
    record
        Its `artifact_folder` must be given.
    logged_model
        MLflow's entity that the folder's files will belong to.
    """
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import Model

    example = record.input_example
    mlflow.pyfunc.save_model(
        path=str(folder),
        mlflow_model=Model(
            artifact_path=logged_model.artifact_location,
            run_id=logged_model.source_run_id,
            model_uuid=logged_model.model_id,
            model_id=logged_model.model_id,
        ),
        loader_module=record.loader_module,
        data_path=str(record.artifact_folder),
        pip_requirements=list(record.pip_requirements),
        signature=_signature(record.features),
        input_example=None if example is None else pd.DataFrame(example, columns=record.features),
    )


def _signature(features: tuple[str, ...]) -> Any:
    """Describe a model from named features to the probabilities of two classes."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    return ModelSignature(
        inputs=Schema([ColSpec("double", name) for name in features]),
        outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, 2))]),
    )
