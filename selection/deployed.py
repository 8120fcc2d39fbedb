"""The deployer's side: a manifest's models, verified and ready to predict.

Axes: N rows or events, F features.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from market.bars import Bars, FloatArray
from market.definitions import Definition, DefinitionError, definition_of
from selection.deployed_files import (
    DeploymentError,
    manifest_bytes,
    open_model,
    parsed_manifest,
    refusals,
)
from selection.given import closed_bars, feature_rows
from selection.live_calibration import LiveCalibration, live_calibration
from selection.live_manifest import sha256_of
from selection.signals import BarSignals

if TYPE_CHECKING:
    from models.base import Model
    from models.onnx_model import OnnxModel


class DeployedModels:
    """The models of one deployment manifest, by symbol; made by `from_manifest`.

    Loading runs no code from the files. A model is opened when it is first asked for, from the very
    bytes that are checked, once more, right then; it stays in memory. It is opened as ONNX where
    the manifest names that, and needs nothing then of what it was trained with.

    Parameters
    ----------
    manifest : mapping
        As read from JSON and checked against its schema.
    folder : Path
        What the paths of artifacts are relative to.
    refused : mapping of str to str
        Symbols whose files are not what the manifest says, and why.
    sha256 : str
        Of the manifest's bytes, those that were checked.
    """

    def __init__(
        self,
        *,
        manifest: Mapping[str, Any],
        folder: Path,
        refused: Mapping[str, str],
        sha256: str,
    ) -> None:
        self.manifest = manifest
        self.sha256 = sha256
        self.folder = folder
        self.refused = refused
        self._models: dict[str, Model | OnnxModel] = {}
        self._calibrations: dict[str, LiveCalibration | None] = {}

    @classmethod
    def from_manifest(
        cls,
        path: str | Path,
        *,
        public_key: str | Path | None = None,
        skip_broken: bool = False,
    ) -> Self:
        """Read a manifest and check every file of every selected symbol; open none.

        A file must lie in the manifest's folder, be a plain one reached through no link, and have
        the size and the SHA-256 that the manifest says.

        Parameters
        ----------
        path : str or Path
            The manifest.
        public_key : str or Path, optional
            PEM. What is unsigned, changed since or signed by another key is refused before any of
            it is parsed; without a key nobody asks who wrote the manifest.
        skip_broken : bool
            Go on with the other symbols where files are refused: `refused` says why, and asking
            for such a symbol raises.

        Raises
        ------
        DeploymentError
            If the manifest cannot be used; or, one line each, the files that are refused.
        """
        path = Path(path)
        content = manifest_bytes(path, public_key=None if public_key is None else Path(public_key))
        manifest = parsed_manifest(path, content)
        lines = {
            symbol: [
                *refusals(path.parent, symbol, selection),
                *_calibration_refusals(symbol, selection),
            ]
            for symbol, selection in manifest["selections"].items()
            if selection["selected_model"] is not None
        }
        refused = {symbol: "\n".join(found) for symbol, found in lines.items() if found}
        if refused and not skip_broken:
            raise DeploymentError("\n".join(refused.values()))
        return cls(
            manifest=manifest, folder=path.parent, refused=refused, sha256=sha256_of(content)
        )

    @property
    def symbols(self) -> list[str]:
        """Symbols with a model that can be asked."""
        return [
            symbol
            for symbol, selection in self.manifest["selections"].items()
            if selection["selected_model"] is not None and symbol not in self.refused
        ]

    def selection(self, symbol: str) -> Mapping[str, Any]:
        """Return a symbol's entry in the manifest, whether or not a model was selected.

        Raises
        ------
        DeploymentError
            If the manifest has no such symbol.
        """
        selections: Mapping[str, Mapping[str, Any]] = self.manifest["selections"]
        if symbol not in selections:
            raise DeploymentError(
                f"{symbol}: is not in the manifest; there are: {', '.join(selections)}"
            )
        return selections[symbol]

    def lookback_rows(self, symbol: str) -> int:
        """Return how many rows before the ones predicted the model looks back on; 0 for most."""
        return self._model(symbol).context_rows

    def feature_names(self, symbol: str) -> tuple[str, ...]:
        """Return the features of a symbol's model, in the order of an array's columns."""
        return self._model(symbol).names_F

    def live_calibration(self, symbol: str) -> LiveCalibration | None:
        """Return the calibration that the manifest adds to a symbol's model, if it adds one.

        Raises
        ------
        DeploymentError
            If the manifest has no such symbol, or the calibration cannot be used.
        """
        if symbol not in self._calibrations:
            self._calibrations[symbol] = live_calibration(symbol, self.selection(symbol))
        return self._calibrations[symbol]

    def predict_proba(
        self, symbol: str, features: Any, context: Any = None, *, allow_cold_start: bool = False
    ) -> FloatArray:
        """Return the probabilities of losing and winning, shape (n_rows, 2).

        They are the model's, mapped by the manifest's live calibration where it has one. A net's
        answer to a row may differ in the seventh digit with the other rows of the call, and that
        of a model opened as ONNX by as much from the model that was trained.

        Parameters
        ----------
        symbol : str
        features : array, DataFrame or mapping
            One row per event, consecutive events in time order. An array has its columns in the
            manifest's order; a polars or pandas frame, or a mapping, is read by name.
        context : array, DataFrame or mapping, optional
            The events directly before, at least `lookback_rows`; ignored by models that do not
            look back.
        allow_cold_start : bool
            Let the first row stand for those missing before it, as at the beginning of a history.

        Raises
        ------
        DeploymentError
            If the symbol has no usable model, or rows to look back on are missing.
        DataError
            If the features cannot be used.
        """
        p_N2 = self.model_proba(symbol, features, context, allow_cold_start=allow_cold_start)
        calibration = self.live_calibration(symbol)
        if calibration is None:
            return p_N2
        p_N = calibration(p_N2[:, 1])
        return np.stack([1.0 - p_N, p_N], axis=1)

    def model_proba(
        self, symbol: str, features: Any, context: Any = None, *, allow_cold_start: bool = False
    ) -> FloatArray:
        """Return what the model itself says, as `predict_proba` but before any live calibration.

        It is what a calibration is fitted on. Whoever trades uses `predict_proba`.
        """
        model = self._models.get(symbol) or self._model(symbol)
        x_NF = feature_rows(symbol, features, model.names_F)
        if context is None:
            context_NF = x_NF[:0]
        else:
            context_NF = feature_rows(f"{symbol}, context", context, model.names_F)
        if len(context_NF) < model.context_rows and not allow_cold_start:
            raise DeploymentError(_rows_missing(symbol, model, len(context_NF)))
        return model.predict_proba(x_NF, context_NF)

    def predict_bars(
        self,
        symbol: str,
        bars: Any,
        *,
        length: timedelta | None = None,
        now: datetime | None = None,
    ) -> BarSignals:
        """Find the events in bars, as the manifest defines them, and judge each at its close.

        Every event has those before it as context. On the history that a model was trained on, the
        events, features and probabilities are those of its training table; on the later part of a
        history they are the same from where `BarSignals.settled_N` is True. A live calibration
        maps those decided on since it was fitted: of earlier ones it has read the outcome.

        Parameters
        ----------
        symbol : str
        bars : Bars or DataFrame
            OHLCV, starts in UTC, polars or pandas; see `selection.given.closed_bars`.
        length : timedelta, optional
            Length of a frame's bars; the commonest step where it is left out.
        now : datetime, optional
            The moment of the decision, the clock's where it is left out. A bar still forming then
            is left out.

        Raises
        ------
        DeploymentError
            If the symbol has no usable model or definition, or the bars are too few or of another
            length.
        DataError
            If the bars cannot be used.
        """
        model, definition = self._model(symbol), self.definition(symbol)
        threshold, calibration = self.threshold(symbol), self.live_calibration(symbol)
        closed = closed_bars(symbol, bars, length=length, now=now)
        check_history(closed, definition)
        found = definition.decisions(closed)
        x_NF = feature_rows(symbol, found.x_NF, model.names_F)
        # The events that a settled one looks back on must be settled themselves.
        first_settled = int(np.argmax(found.settled_N)) if found.settled_N.any() else len(found)
        p_N = model.predict_proba(x_NF)[:, 1]
        return BarSignals(
            symbol=symbol,
            model=self.selection(symbol)["selected_model"],
            threshold=threshold,
            t0_N=found.t0_N,
            direction_N=found.direction_N,
            p_win_N=p_N if calibration is None else calibration.since_fitted(found.t0_N, p_N),
            settled_N=np.arange(len(found)) >= first_settled + model.context_rows,
            closed_at=closed.close_time_T[-1],
            x_NF=x_NF,
        )

    def _model(self, symbol: str) -> "Model | OnnxModel":
        selection = self.selection(symbol)
        if selection["selected_model"] is None:
            raise DeploymentError(f"{symbol}: no model is deployed: {selection['reason']}")
        if symbol in self.refused:
            raise DeploymentError(self.refused[symbol])
        if symbol not in self._models:
            self._models[symbol] = open_model(self.folder, symbol, selection)
        return self._models[symbol]

    def threshold(self, symbol: str) -> float:
        """Return the probability of winning from which a symbol's trades are taken.

        Raises
        ------
        DeploymentError
            If the manifest has no such symbol, or gives none.
        """
        threshold = self.selection(symbol).get("decision_threshold")
        if threshold is None:
            raise DeploymentError(f"{symbol}: the manifest gives no decision_threshold")
        return float(threshold)

    def definition(self, symbol: str) -> Definition:
        """Return how the events, features and labels of a symbol's model are made from bars.

        Raises
        ------
        DeploymentError
            If the symbol has no usable model, or this version makes other features.
        """
        selection = self.selection(symbol)
        features = selection.get("features", {}).get("definition")
        if features is None:
            raise DeploymentError(
                f"{symbol}: its features were made elsewhere, the manifest does not say how; "
                "compute them and use predict_proba"
            )
        try:
            definition = definition_of(features, selection.get("label") or {})
        except DefinitionError as error:
            raise DeploymentError(f"{symbol}: this version cannot build {error}") from error
        if definition.features.names != self._model(symbol).names_F:
            raise DeploymentError(f"{symbol}: this version makes other features than the model's")
        return definition


def _calibration_refusals(symbol: str, selection: Mapping[str, Any]) -> list[str]:
    try:
        live_calibration(symbol, selection)
    except DeploymentError as error:
        return [str(error)]
    return []


def _rows_missing(symbol: str, model: "Model | OnnxModel", n_given: int) -> str:
    wanted = model.context_rows
    found = f" ({n_given} were given)" if n_given else ""
    return (
        f"{symbol}: {model.name} looks back {wanted} rows{found}; give context= with the "
        f'features of the {wanted} events before (lookback_rows("{symbol}")), or '
        "allow_cold_start=True"
    )


def check_history(closed: Bars, definition: Definition) -> None:
    """Refuse bars that are too few for a definition's features, or of another length.

    Raises
    ------
    DeploymentError
    """
    history = definition.features.history_bars
    if len(closed) < history:
        raise DeploymentError(
            f"{closed.symbol}: {len(closed)} closed bars, at least {history} are needed for its "
            "features to settle; give more history"
        )
    if definition.bar_length not in (None, closed.length):
        raise DeploymentError(
            f"{closed.symbol}: bars of {_minutes(closed.length)} minutes were given, the model was "
            f"trained on {_minutes(definition.bar_length)}"
        )


def _minutes(length: np.timedelta64 | None) -> str:
    return f"{np.timedelta64(length, 'us') / np.timedelta64(60_000_000, 'us'):g}"
