"""Watches a fit while it runs and says, in sentences, what goes wrong."""

import itertools
import math
import time
from collections.abc import Callable, Sequence


class TrainingMonitor:
    """Checks that every model calls during training.

    Parameters
    ----------
    overfit_train_accuracy, overfit_val_accuracy : float
        Overfitting: training accuracy above the first, validation accuracy below the second.
    divergence_patience : int
        Divergence: validation loss rising this many epochs in a row.
    max_grad_norm : float
        Exploding gradients: a gradient norm above this.
    max_minutes : float
        Wall time after which a fit is ended.
    clock : callable
        Seconds since some origin; ``check_timeout`` compares with it.
    gives_up : callable or None
        Told the held-back losses so far after each epoch; True ends the fit.

    Attributes
    ----------
    should_stop : bool
        Set by a loss that is not a number, by a timeout and by ``gives_up``: the fit must end.
    stop_reason : str
        The warning that first set it; empty until then.
    """

    def __init__(
        self,
        *,
        overfit_train_accuracy: float = 0.95,
        overfit_val_accuracy: float = 0.60,
        divergence_patience: int = 10,
        max_grad_norm: float = 10.0,
        max_minutes: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        gives_up: Callable[[Sequence[float]], bool] | None = None,
    ) -> None:
        for name, share in (
            ("overfit_train_accuracy", overfit_train_accuracy),
            ("overfit_val_accuracy", overfit_val_accuracy),
        ):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be in [0, 1], was {share}")
        if divergence_patience < 1:
            raise ValueError(f"divergence_patience must be at least 1, was {divergence_patience}")
        if not max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be above 0, was {max_grad_norm}")
        if not max_minutes > 0:
            raise ValueError(f"max_minutes must be above 0, was {max_minutes}")
        self.overfit_train_accuracy = overfit_train_accuracy
        self.overfit_val_accuracy = overfit_val_accuracy
        self.divergence_patience = divergence_patience
        self.max_grad_norm = max_grad_norm
        self.max_minutes = max_minutes
        self.clock = clock
        self.gives_up = gives_up
        self.should_stop = False
        self.stop_reason = ""
        self._warnings: dict[str, str] = {}

    def check_overfitting(self, train_acc: float, val_acc: float, epoch: int) -> bool:
        """Return whether training accuracy is near perfect while validation accuracy is not."""
        found = train_acc > self.overfit_train_accuracy and val_acc < self.overfit_val_accuracy
        if found:
            self._warn(
                "overfitting",
                f"overfitting from epoch {epoch}: train accuracy {train_acc:.3f}, "
                f"validation accuracy {val_acc:.3f}",
            )
        return found

    def check_divergence(self, val_losses: Sequence[float], patience: int | None = None) -> bool:
        """Return whether the validation loss rose in each of the last ``patience`` epochs."""
        patience = self.divergence_patience if patience is None else patience
        last = val_losses[-patience - 1 :]
        found = len(last) == patience + 1 and all(
            later > earlier for earlier, later in itertools.pairwise(last)
        )
        if found:
            self._warn(
                "divergence",
                f"divergence at epoch {len(val_losses) - 1}: validation loss rose {patience} "
                f"epochs in a row, to {last[-1]:.4f}",
            )
        return found

    def check_nan_loss(self, loss: float, epoch: int) -> bool:
        """Return whether the loss is not finite, and ask for a stop if so."""
        found = not math.isfinite(loss)
        if found:
            self._stop("nan_loss", f"loss is {loss} at epoch {epoch}: training ended")
        return found

    def check_hopeless(self, val_losses: Sequence[float]) -> bool:
        """Return whether whoever wants the fit gives it up, and ask for a stop if so."""
        found = self.gives_up is not None and self.gives_up(val_losses)
        if found:
            self._stop("given_up", f"given up at epoch {len(val_losses) - 1}: others did better")
        return found

    def check_exploding_gradients(
        self, grad_norm: float, threshold: float | None = None, epoch: int | None = None
    ) -> bool:
        """Return whether the gradient norm is above the threshold, or not a number."""
        threshold = self.max_grad_norm if threshold is None else threshold
        found = not grad_norm <= threshold
        if found:
            when = "" if epoch is None else f" at epoch {epoch}"
            self._warn(
                "exploding_gradients",
                f"exploding gradients{when}: norm {grad_norm:.1f} above {threshold:g}",
            )
        return found

    def check_timeout(self, start_time: float, max_minutes: float | None = None) -> bool:
        """Return whether more than ``max_minutes`` have passed, and ask for a stop if so."""
        max_minutes = self.max_minutes if max_minutes is None else max_minutes
        found = self.clock() - start_time > max_minutes * 60
        if found:
            self._stop("timeout", f"timeout: over {max_minutes:g} minutes, training ended")
        return found

    def get_warnings(self) -> list[str]:
        """Return each kind of warning once, as it first appeared."""
        return list(self._warnings.values())

    def _stop(self, kind: str, sentence: str) -> None:
        self.should_stop = True
        self.stop_reason = self.stop_reason or sentence
        self._warn(kind, sentence)

    def _warn(self, kind: str, sentence: str) -> None:
        self._warnings.setdefault(kind, sentence)
