"""The evidence gate: nothing is deployed for a symbol whose council finds no signal.

The family is the symbols of a run: the chance that any symbol without signal gets a model is held
at alpha (Holm). Which model a symbol with signal gets is a second question, asked afterwards.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from selection.evidence import Advantage, Evidence, advantage, detectable_edge, evidence, holm
from selection.out_of_fold import OutOfFold
from selection.selector import ModelSelector, nothing_selected
from selection.tuned import chance_share, judged_on

COUNCIL = "Council"
# Among models that are as good as each other the first of these is taken.
SIMPLEST_FIRST = ("XGBoost", "RandomForest", "MLP", "LSTM")
NETS = ("MLP", "LSTM")
NO_EFFECT = "no effect seen (no better than the base rate)"

Result = Mapping[str, Any]
Predictions = Mapping[str, Mapping[str, OutOfFold]]
Limit = Literal["max_gap", "min_accuracy", "stability"]


@dataclass(frozen=True, slots=True)
class _Single:
    """What is known of one model beside the council."""

    found: Evidence
    over_council: Advantage
    adjusted: float
    over_seeds: tuple[Advantage, ...]
    n_failed_seeds: int
    share: float = 1.0


@dataclass(slots=True)
class _Symbol:
    council: Evidence | None = None
    adjusted: float = 1.0
    singles: dict[str, _Single] = field(default_factory=dict)


class CertifiedSelector:
    """Chooses for each symbol the model that evidence speaks for, or none.

    Parameters
    ----------
    alpha : float
        Largest chance that a run deploys anything where no symbol has signal, in (0, 0.5).
    hard : list of str
        Limits of the reference rule that a deployed model must keep; the others are flags.
    seeds : int
        Runs of a net, each from another seed, before it takes the council's place; at least 1.
    max_gap, min_accuracy, stability_threshold : float
        The reference rule's limits.

    Raises
    ------
    ValueError
        If a setting is out of range.
    """

    def __init__(
        self,
        *,
        alpha: float,
        hard: list[Limit],
        seeds: int,
        max_gap: float,
        min_accuracy: float,
        stability_threshold: float,
    ) -> None:
        if not 0 < alpha < 0.5:
            raise ValueError(f"alpha must be in (0, 0.5), was {alpha}")
        if seeds < 1:
            raise ValueError(f"seeds must be at least 1, was {seeds}")
        for limit in hard:
            if limit not in get_args(Limit):
                known = ", ".join(get_args(Limit))
                raise ValueError(f"hard may list {known}, listed {limit!r}")
        self.alpha = alpha
        self.hard = tuple(hard)
        self.seeds = seeds
        self.reference = ModelSelector(max_gap, min_accuracy, stability_threshold)

    def select(
        self,
        results: Mapping[str, Mapping[str, Result]],
        predictions: Predictions,
        reseeded: Mapping[tuple[str, str], Sequence[OutOfFold]] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Choose one model per symbol, or none.

        Parameters
        ----------
        results : mapping
            ``{symbol: {model: training result}}`` of the candidates, failed ones included.
        predictions : mapping
            ``{symbol: {model: OutOfFold}}`` of those that did not fail.
        reseeded : mapping, optional
            By symbol and model: the same, from other seeds. Given these, a net's advantage is the
            median over all its seeds; one that failed counts as no advantage.

        Returns
        -------
        dict
            By symbol: what `ModelSelector.select_best_models` returns, ``evidence``, ``refused``
            (a sentence for each model that was not chosen) and, for a chosen model,
            ``expected_accuracy``: its pooled out-of-fold one; of a tuned model that of the rows
            that may speak for it.
        """
        tested = {symbol: _Symbol() for symbol in results}
        for symbol, models in predictions.items():
            if COUNCIL in models:
                tested[symbol].council = evidence(models[COUNCIL])
        found = {name: one.council.p_value for name, one in tested.items() if one.council}
        for symbol, adjusted in holm(found).items():
            one = tested[symbol]
            one.adjusted = adjusted
            further = {name: rows for (of, name), rows in (reseeded or {}).items() if of == symbol}
            # In the order of the results, whichever ended first.
            models = predictions[symbol]
            known = {name: models[name] for name in results[symbol] if name in models}
            shares = {name: chance_share(results[symbol][name]) for name in known}
            one.singles = self._singles(known, further, shares)
        family = len(found)
        return {symbol: self._verdict(tested[symbol], results[symbol], family) for symbol in tested}

    def finalists(
        self,
        selections: Mapping[str, Result],
        reseeded: Mapping[tuple[str, str], Sequence[OutOfFold]],
    ) -> list[tuple[str, str]]:
        """Return symbol and model of each net that was chosen from one seed alone."""
        if self.seeds == 1:
            return []
        chosen = ((symbol, one["selected_model"]) for symbol, one in selections.items())
        return [one for one in chosen if one[1] in NETS and one not in reseeded]

    def _singles(
        self,
        models: Mapping[str, OutOfFold],
        reseeded: Mapping[str, Sequence[OutOfFold]],
        shares: Mapping[str, float],
    ) -> dict[str, _Single]:
        """Compare every model with the council, each on the rows that may speak for it."""
        council = models[COUNCIL]
        by_seed = {
            name: [advantage(one, council) for one in (rows, *reseeded.get(name, ()))]
            for name, rows in models.items()
            if name != COUNCIL
        }
        typical = {
            name: _typical(ones, self.seeds if name in reseeded else 1)
            for name, ones in by_seed.items()
        }
        adjusted = holm({name: one.p_value for name, one in typical.items()}, shares)
        return {
            name: _Single(
                evidence(models[name]),
                typical[name],
                adjusted[name],
                tuple(ones),
                self.seeds - len(ones) if name in reseeded else 0,
                shares[name],
            )
            for name, ones in by_seed.items()
        }

    def _verdict(
        self, tested: _Symbol, models: Mapping[str, Result], family: int
    ) -> dict[str, Any]:
        council = tested.council
        if council is None:
            error = models.get(COUNCIL, {}).get("error", "it was not trained")
            reason = f"No council to judge by: {error}"
            refused = dict.fromkeys(models, reason) | _failed(models)
            return _refused(reason, refused, None)
        said = self._evidence(council, tested, family)
        if tested.adjusted > self.alpha:
            reason = f"Refused: {said['in_words']}"
            refused = dict.fromkeys(models, "the council found no signal") | _failed(models)
            return _refused(reason, refused, said)
        broken = {name: self._hard_limits(models[name]) for name in (COUNCIL, *tested.singles)}
        eligible = [name for name in self._better(tested) if not broken[name]]
        if not eligible and broken[COUNCIL]:
            reason = (
                f"Signal is there ({said['in_words']}), but the council breaks a hard limit: "
                f"{broken[COUNCIL]}"
            )
            return _refused(reason, self._why_not(None, models, tested, broken), said)
        chosen = _simplest_of_the_best(eligible, tested) if eligible else COUNCIL
        return self._chosen(chosen, models, tested, said, broken)

    def _chosen(
        self,
        chosen: str,
        models: Mapping[str, Result],
        tested: _Symbol,
        said: dict[str, Any],
        broken: Mapping[str, str],
    ) -> dict[str, Any]:
        result = models[chosen]
        others = [name for name in (COUNCIL, *tested.singles) if name != chosen]
        within = "within the hard limits " if any(broken.values()) else ""
        why = f"no single model {within}is better"
        if chosen != COUNCIL:
            gain = 1000 * tested.singles[chosen].over_council.gain
            why = f"{chosen} beats it by {gain:.1f} thousandths of a nat{judged_on(result)}"
        return {
            "selected_model": chosen,
            **_numbers(result),
            "expected_accuracy": result["out_of_fold"]["accuracy"],
            "reason": f"Signal: {said['in_words']}; {why}",
            "alternatives": [{"model": name, **_numbers(models[name])} for name in others],
            "evidence": said,
            "refused": self._why_not(chosen, models, tested, broken),
        }

    def _better(self, tested: _Symbol) -> list[str]:
        """Return the singles that hold signal and beat the council."""
        return [
            name
            for name, one in tested.singles.items()
            if one.found.p_value < self.alpha and one.adjusted < self.alpha
        ]

    def _why_not(
        self,
        chosen: str | None,
        models: Mapping[str, Result],
        tested: _Symbol,
        broken: Mapping[str, str],
    ) -> dict[str, str]:
        said = _failed(models)
        for name in models:
            if name == chosen or name in said:
                continue
            if broken[name]:
                said[name] = f"hard limit: {broken[name]}"
            elif name == COUNCIL:
                said[name] = f"{chosen} is better"
            else:
                said[name] = self._single_refused(tested.singles[name], chosen)
        return said

    def _single_refused(self, single: _Single, chosen: str | None) -> str:
        if single.found.p_value >= self.alpha:
            return f"no evidence of its own (p = {in_digits(single.found.p_value)})"
        if single.adjusted >= self.alpha:
            failed = f", {single.n_failed_seeds} of {self.seeds} seeds failed"
            return (
                f"not better than the council (p = {in_digits(single.adjusted)}"
                f"{failed if single.n_failed_seeds else ''})"
            )
        return f"{chosen} is better, or as good and simpler"

    def _hard_limits(self, result: Result) -> str:
        broken = self.reference.broken_limits(as_judged(result))
        return ", ".join(broken[name] for name in self.hard if name in broken)

    def _evidence(self, found: Evidence, tested: _Symbol, family: int) -> dict[str, Any]:
        passes = tested.adjusted <= self.alpha
        edge = detectable_edge(found, self.alpha / family)
        return {
            "rule": "certified",
            "alpha": self.alpha,
            "hard": list(self.hard),
            "seeds": self.seeds,
            "family": family,
            "passes": passes,
            "p_adjusted": tested.adjusted,
            **_as_json(found),
            "detectable_edge": edge if math.isfinite(edge) else None,
            "in_words": in_words(found, tested.adjusted, edge, passes=passes, family=family),
            "singles": {
                name: {
                    **_as_json(one.found),
                    "gain_over_council": one.over_council.gain,
                    "p_over_council": one.over_council.p_value,
                    "p_over_council_adjusted": one.adjusted,
                    "share_of_chance": one.share,
                    "p_over_council_by_seed": [seed.p_value for seed in one.over_seeds],
                    "gain_over_council_by_seed": [seed.gain for seed in one.over_seeds],
                }
                for name, one in tested.singles.items()
            },
        }


def as_judged(result: Result) -> dict[str, Any]:
    """Return a result whose gap is the one of all fits: training less pooled out-of-fold accuracy.

    The reference's gap is that of the last fit and one block alone.
    """
    if "history" not in result:
        return dict(result)
    history = result["history"]
    return {**result, "history": {**history, "train_val_gap": history["oof_gap"]}}


def in_words(found: Evidence, adjusted: float, edge: float, *, passes: bool, family: int) -> str:
    """Say what a symbol's verdict rests on, in one line.

    Parameters
    ----------
    found : Evidence
        The council's.
    adjusted : float
        Its p-value after Holm.
    edge : float
        What `detectable_edge` returns.
    passes : bool
    family : int
        Symbols tested in the run.
    """
    p = f"p = {in_digits(found.p_value)}"
    if family > 1:
        p += f", {in_digits(adjusted)} among {family} symbols"
    if passes:
        return f"{p}; the council gains {1000 * found.gain:.1f} thousandths of a nat out of fold"
    if found.gain <= 0:
        p = NO_EFFECT
    if not math.isfinite(found.inflation):
        return f"{p}; within blocks, labels or predictions are all alike"
    if not math.isfinite(edge):
        return f"{p}; too few labels that do not overlap to see any edge"
    points = f"{100 * edge:.0f}" if edge >= 0.03 else f"{100 * edge:.1f}"
    return (
        f"{p}; with this many labels an edge of {points} points would have been seen four times in "
        "five"
    )


def in_digits(p: float) -> str:
    """Return a p-value as it is read: 0.21, 0.0042, 2e-07."""
    return f"{p:.2f}" if p >= 0.1 else f"{p:.1g}" if p < 0.001 else f"{p:.2g}"


def _typical(by_seed: Sequence[Advantage], n_seeds: int) -> Advantage:
    """Return the median advantage; seeds that are missing have none."""
    ranked = sorted(by_seed, key=lambda one: one.p_value)
    middle = n_seeds // 2
    return ranked[middle] if middle < len(ranked) else replace(ranked[-1], p_value=1.0)


def _simplest_of_the_best(names: Sequence[str], tested: _Symbol) -> str:
    """Return the simplest model whose gain is within one standard error of the largest."""
    ahead = {name: tested.singles[name].over_council for name in names}
    best = max(ahead.values(), key=lambda one: one.gain)
    tied = [name for name in names if best.gain - ahead[name].gain <= best.standard_error]
    return min(tied, key=_complexity)


def _complexity(name: str) -> int:
    return SIMPLEST_FIRST.index(name) if name in SIMPLEST_FIRST else len(SIMPLEST_FIRST)


def _numbers(result: Result) -> dict[str, Any]:
    history = result["history"]
    return {"test_accuracy": history["test_accuracy"], "train_val_gap": history["oof_gap"]}


def _refused(
    reason: str, refused: Mapping[str, str], said: dict[str, Any] | None
) -> dict[str, Any]:
    return {**nothing_selected(reason), "evidence": said, "refused": dict(refused)}


def _failed(models: Mapping[str, Result]) -> dict[str, str]:
    return {
        name: f"training failed: {result['error']}"
        for name, result in models.items()
        if "error" in result
    }


def _as_json(found: Evidence) -> dict[str, Any]:
    return {
        "statistic": found.statistic if math.isfinite(found.statistic) else None,
        "p_value": found.p_value,
        "rows": found.rows,
        "effective_rows": found.effective_rows,
        "log_loss_gain": found.gain,
    }
