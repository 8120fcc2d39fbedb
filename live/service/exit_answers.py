"""Answers about exits: the other side of `exits.remote_service`.

Axes: K decisions, F features, P the 132 parameters.
"""

from typing import Any

import numpy as np

from live.service.loaded import LoadedExits
from live.service.problems import Problem
from live.service.questions import ExitsQuestion


def exits_answer(loaded: LoadedExits, question: ExitsQuestion) -> dict[str, Any]:
    """Return the parameters of each decision, to the bit those of `ExitModel.decide`.

    Raises
    ------
    Problem
        409 where the model has no finite answer to a row.
    """
    x_KF = np.array(question.features, np.float64)
    values_KP = loaded.model.decide(x_KF, np.array(question.atr, np.float64))
    finite_K = np.isfinite(values_KP).all(axis=1)
    if not finite_K.all():
        k = int(np.argmin(finite_K))
        detail = f"the model has no finite answer with an ATR of {question.atr[k]:g}"
        raise Problem(409, detail, field=f"atr.{k}")
    return {"model_digest": loaded.model.digest, "parameters": values_KP.tolist()}
