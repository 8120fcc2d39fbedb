"""A model that nobody deployed: its out-of-fold predictions, in the folder of the run behind it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backtest.predictions import Predicted, predicted
from selection.deployed_files import DeploymentError
from selection.live_manifest import sha256_of
from selection.plain_files import NotPlainError, NotThereError, read_plain
from selection.stored_predictions import MOST_BYTES, PREDICTIONS
from selection.strict_json import strict_json

EXECUTION = "execution.json"


def folder_of(runs: Path, execution: str | None) -> Path | None:
    """Return the folder among those of runs that made a manifest, known by the id of its work."""
    for path in sorted(runs.glob(f"*/{EXECUTION}")):
        try:
            told = strict_json(path.read_bytes())
        except (OSError, ValueError):
            continue
        if execution is not None and isinstance(told, Mapping) and told.get("id") == execution:
            return path.parent
    return None


def researched(
    run: Path, symbol: str, model: str, *, conf_digest: str | None
) -> tuple[Predicted, float]:
    """Return what a run's model predicted out of fold, and the threshold that trades are taken at.

    Parameters
    ----------
    run : Path
        The folder of a run of train_all.
    symbol, model : str
    conf_digest : str or None
        Of the manifest: a run of another configuration is refused.

    Raises
    ------
    DeploymentError
        One line: the run has no such model, or it failed; the run or the result is another's; its
        threshold is none; or the predictions are not those that its result names.
    """
    result = _result(run, symbol, model)
    if "error" in result:
        raise DeploymentError(f"{symbol}: {model} failed in {run}: {result['error']}")
    of = (result.get("symbol"), result.get("model_name"))
    if of != (symbol, model):
        raise DeploymentError(
            f"{symbol}: {run / _name(symbol, model)} is the result of {of[1]} on {of[0]}, expected "
            f"{model} on {symbol}; train again"
        )
    try:
        found, stated = result["digests"]["conf"], result[PREDICTIONS]
        threshold = float(result["decision_threshold"])
        file, digest = str(stated["file"]), str(stated["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise DeploymentError(
            f"{symbol}: the result of {model} in {run} names no predictions; train again"
        ) from error
    if conf_digest is not None and found != conf_digest:
        raise DeploymentError(f"{symbol}: {run} is not the run that made the manifest")
    if not 0 < threshold < 1:
        raise DeploymentError(
            f"{symbol}: decision_threshold of {model} in {run} must lie between 0 and 1, was "
            f"{threshold}; train again"
        )
    content = _read(run, f"{PREDICTIONS}/{file}", symbol)
    if sha256_of(content) != digest:
        raise DeploymentError(
            f"{symbol}: {run / PREDICTIONS / file} has changed since it was written; train again"
        )
    return predicted(f"{symbol}: {file}", content), threshold


def _result(run: Path, symbol: str, model: str) -> Mapping[str, Any]:
    name = _name(symbol, model)
    try:
        result = strict_json(_read(run, name, symbol))
    except ValueError as error:
        if isinstance(error, DeploymentError):
            raise
        raise DeploymentError(f"{symbol}: {run / name} {error}") from error
    if not isinstance(result, Mapping):
        raise DeploymentError(f"{symbol}: {run / name} is no result of a model")
    return result


def _name(symbol: str, model: str) -> str:
    return f"results/{symbol}_{model}.json"


def _read(run: Path, name: str, symbol: str) -> bytes:
    try:
        return read_plain(run, name, most_bytes=MOST_BYTES)
    except NotThereError as error:
        known = sorted(path.stem for path in (run / "results").glob(f"{symbol}_*.json"))
        models = ", ".join(one.removeprefix(f"{symbol}_") for one in known)
        there_are = f"; there are: {models}" if models else ""
        raise DeploymentError(f"{symbol}: {run / name} is missing{there_are}") from error
    except NotPlainError as error:
        raise DeploymentError(f"{symbol}: {run / name} {error}") from error
