"""The reference system's rule: three limits, then the best test accuracy less half the gap."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from selection.manifest import write_manifest
from selection.signing import SigningKey

# Accuracies are ratios: 0.65 - 0.60 is 0.05 on paper and a little more in binary.
_TOLERANCE = 1e-9
_SCORE_DIGITS = 9
_FLAGS = ("max_gap", "min_accuracy", "stability", "cv_stability")
CV_STD_LIMIT = 0.15


@dataclass(frozen=True, slots=True)
class _Scores:
    """What the rule reads of one result; NaN for a number that is missing or out of range."""

    error: str | None = None
    test: float = math.nan
    gap: float = math.nan
    val_test: float = math.nan
    cv_std: float = math.nan


@dataclass(frozen=True, slots=True)
class ModelSelector:
    """Chooses for each symbol the model that may be deployed, by the reference system's rule.

    Parameters
    ----------
    max_gap : float
        Largest training less validation accuracy, in [0, 1].
    min_accuracy : float
        Smallest test accuracy, in [0, 1].
    stability_threshold : float
        Largest distance between validation and test accuracy, in [0, 1].

    Raises
    ------
    ValueError
        If a limit is outside [0, 1].

    Notes
    -----
    All limits are inclusive, to within 1e-9. The rule does not test whether there is any signal:
    models of pure noise pass it often.
    """

    max_gap: float = 0.20
    min_accuracy: float = 0.55
    stability_threshold: float = 0.05

    def __post_init__(self) -> None:
        for name in ("max_gap", "min_accuracy", "stability_threshold"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], was {value}")

    def select_best_models(
        self, results: Mapping[str, Mapping[str, Mapping[str, Any]]]
    ) -> dict[str, dict[str, Any]]:
        """Choose one model per symbol, or none.

        Parameters
        ----------
        results : mapping
            ``{symbol: {model: result}}``; a result holds ``history`` with accuracies, or
            ``{"error": message}``. A test or validation accuracy that ``history`` does not hold
            is taken from ``test_metrics`` or ``val_metrics``, a missing gap is training less
            validation accuracy. A failed model, or one without a usable number, is never chosen.

        Returns
        -------
        dict
            By symbol, in alphabetical order: ``selected_model``, ``test_accuracy``,
            ``train_val_gap``, ``reason`` and ``alternatives`` (the other models within all limits,
            best first). Equal scores are decided by the model's name. Where no model is left
            ``selected_model`` is None and ``action`` asks for a manual review.
        """
        return {symbol: self._select(results[symbol]) for symbol in sorted(results)}

    def reference_verdict(self, result: Mapping[str, Any]) -> dict[str, bool]:
        """Return which limits a result keeps.

        Returns
        -------
        dict
            ``max_gap``, ``min_accuracy``, ``stability`` and ``cv_stability``: True where the limit
            is kept, False where it is broken or its number is missing; ``passed``: all of them.
            Cross-validation that was not done, or is marked unavailable by None, counts as stable.
        """
        broken = self._broken(_read(result))
        verdict = {flag: flag not in broken for flag in _FLAGS}
        return {**verdict, "passed": not broken}

    def broken_limits(self, result: Mapping[str, Any]) -> dict[str, str]:
        """Return each limit that a result breaks, under its flag, with a short sentence."""
        return self._broken(_read(result))

    def failures(self, result: Mapping[str, Any]) -> list[str]:
        """Return a short sentence for every limit a result breaks; none for a model that passes."""
        scores = _read(result)
        if scores.error is not None:
            return [f"training failed: {scores.error}"]
        return list(self._broken(scores).values())

    def save_deployment_manifest(
        self,
        selections: Mapping[str, Mapping[str, Any]],
        path: str | Path,
        *,
        provenance: Mapping[str, Any] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        key: SigningKey | None = None,
    ) -> dict[str, Any]:
        """Write the selections as a deployment manifest; see `write_manifest`.

        Parameters
        ----------
        selections : mapping
            By symbol, as `select_best_models` returns them, with any further entries.
        path : str or Path
            The manifest's file. An older one is kept in the folder ``history`` beside it.
        provenance : mapping, optional
            Where the models come from: run id, seed, library versions and the like.
        clock : callable
            Returns the present moment, with its time zone.
        key : SigningKey, optional
            Signs the manifest.

        Returns
        -------
        dict
            The manifest as written.
        """
        criteria = {
            "max_train_val_gap": self.max_gap,
            "min_test_accuracy": self.min_accuracy,
            "max_val_test_diff": self.stability_threshold,
        }
        return write_manifest(
            Path(path), selections, criteria, provenance=provenance, now_utc=clock(), key=key
        )

    def _select(self, models: object) -> dict[str, Any]:
        read = {name: _read(result) for name, result in _mapping(models).items()}
        eligible = [_candidate(name, read[name]) for name in read if not self._broken(read[name])]
        if not eligible:
            return nothing_selected("No models met quality criteria")
        best, *others = sorted(
            eligible, key=lambda model: (-round(model["score"], _SCORE_DIGITS), model["model"])
        )
        return {
            "selected_model": best["model"],
            "test_accuracy": best["test_accuracy"],
            "train_val_gap": best["train_val_gap"],
            "reason": f"Best score ({best['score']:.3f}) with gap {best['train_val_gap']:.1%}",
            "alternatives": others,
        }

    def _broken(self, scores: _Scores) -> dict[str, str]:
        """Return the limits that are not kept, each with a sentence."""
        if scores.error is not None:
            return dict.fromkeys(_FLAGS, scores.error)
        largest = {
            "max_gap": ("train-validation gap", scores.gap, self.max_gap),
            "stability": ("validation-test difference", scores.val_test, self.stability_threshold),
            "cv_stability": ("cross-validation deviation", scores.cv_std, CV_STD_LIMIT),
        }
        broken = {
            flag: _sentence(name, value, ">", limit)
            for flag, (name, value, limit) in largest.items()
            if not value <= limit + _TOLERANCE
        }
        if not scores.test >= self.min_accuracy - _TOLERANCE:
            sentence = _sentence("test accuracy", scores.test, "<", self.min_accuracy)
            broken["min_accuracy"] = sentence
        return broken


def nothing_selected(reason: str) -> dict[str, Any]:
    """Return the selection of a symbol for which no model may be deployed."""
    return {
        "selected_model": None,
        "test_accuracy": None,
        "train_val_gap": None,
        "reason": reason,
        "action": "MANUAL_REVIEW_REQUIRED",
        "alternatives": [],
    }


def _candidate(name: str, scores: _Scores) -> dict[str, Any]:
    return {
        "model": name,
        "test_accuracy": scores.test,
        "train_val_gap": scores.gap,
        "score": scores.test - 0.5 * scores.gap,
    }


def _read(result: object) -> _Scores:
    fields = _mapping(result)
    if not fields:
        return _Scores(error="it left no result")
    if fields.get("error") is not None:
        return _Scores(error=" ".join(str(fields["error"]).split()))
    history = _mapping(fields.get("history"))
    val = _accuracy(fields, "val")
    test = _accuracy(fields, "test")
    if "train_val_gap" in history:
        gap = _number(history["train_val_gap"], low=-1)
    else:
        gap = _number(history.get("train_accuracy")) - val
    cv_std = history.get("cv_std_accuracy")
    return _Scores(
        test=test,
        gap=gap,
        val_test=abs(val - test),
        cv_std=0.0 if cv_std is None else _number(cv_std),
    )


def _accuracy(result: Mapping[str, Any], part: str) -> float:
    history = _mapping(result.get("history"))
    if f"{part}_accuracy" in history:
        return _number(history[f"{part}_accuracy"])
    return _number(_mapping(result.get(f"{part}_metrics")).get("accuracy"))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object, low: float = 0.0) -> float:
    """Return a number of [low, 1], or NaN: 65 is no accuracy, nor is True."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return math.nan
    return float(value) if low <= value <= 1 else math.nan


def _sentence(name: str, value: float, sign: str, limit: float) -> str:
    if math.isnan(value):
        return f"{name} is missing or out of range"
    # More digits where three would show a broken limit as kept.
    texts = (f"{value:.{digits}f}" for digits in (3, 6))
    shown = next((text for text in texts if float(text) != limit), f"{value:.9f}")
    return f"{name} {shown} {sign} {limit:g}"
