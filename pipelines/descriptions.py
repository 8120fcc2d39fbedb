"""Pages in Markdown for people who meet a run, a model or a registered model in MLflow."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.outcome import OF_TUNED, opened_before, trials_of, unaugmented, why_none
from selection.tuned import is_tuned
from tracking.registry import CHAMPION

Result = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Result]]

PARTS = (
    ("out of fold", "out_of_fold", "out_of_fold"),
    ("validation", "val_metrics", "validation"),
    ("test", "test_metrics", "test"),
)
SCORE_HEADINGS = ("", "rows", "accuracy (no skill)", "log-loss (no skill)", "ROC-AUC", "Brier")
OUTCOME_HEADINGS = (
    "symbol",
    "selected",
    "rows",
    "accuracy (no skill)",
    "log-loss (no skill)",
    "holdout accuracy",
    "R per trade",
    "why",
)
MANY_WARNINGS = 10
LONG_WARNING_CHARS = 300


def model_page(result: Result, verdict: str, selection: Result, *, simulated: bool) -> str:
    """Return the page of one model: verdict first, figures against no skill, then warnings.

    Parameters
    ----------
    result : mapping
        Its training result, or what a failed model left.
    verdict : str
        Its tag `verdict`.
    selection : mapping
        The selection of its symbol.
    simulated : bool
        Whether its market is made up.
    """
    heading = _plain(verdict[0].upper() + verdict[1:])
    warned = _bullets("Warnings", result.get("warnings", ()))
    if "error" in result:
        return "\n\n".join(filter(None, [heading, warned]))
    if selection["selected_model"] == result["model_name"]:
        heading += f" for {_plain(result['symbol'])}: {_plain(selection['reason'])}"
    paragraphs = [
        f"{heading}{' (simulated market)' if simulated else ''}",
        _table(SCORE_HEADINGS, _score_rows(result, selection)),
        "Selection has read validation and test, and out of fold holds their rows: of the model it "
        "chose these figures promise too much.",
        _tuning_line(result),
        _history_line(result),
        warned,
    ]
    return "\n\n".join(filter(None, paragraphs))


def failed_data_page(error: str) -> str:
    """Return the page of a symbol that could not be trained because of its data."""
    return f"Data could not be used: {_plain(error)}"


def run_page(
    results: Results,
    selections: Mapping[str, Result],
    *,
    simulated: bool,
    manifest: Path | None,
) -> str:
    """Return the page of a whole run: the outcome of every symbol, and what failed.

    Parameters
    ----------
    results : mapping
        ``{symbol: {model: result}}`` of the symbols whose data could be used.
    selections : mapping
        By symbol; those without usable data are among them.
    simulated : bool
        Whether its market is made up.
    manifest : Path or None
        Where the deployment manifest was written, if it was.
    """
    selected = sum(one["selected_model"] is not None for one in selections.values())
    where = f"Manifest: `{manifest}`." if manifest else "No manifest was written."
    market = "a simulated market" if simulated else "real data"
    paragraphs = [
        f"**{selected} of {len(selections)} symbols selected** on {market}. {where}",
        _table(OUTCOME_HEADINGS, _outcome_rows(results, selections)),
        "Figures are out of fold but for the holdout, which no rule has read; where none was "
        "selected they are those of the closest model. R: the distance of the stop, after costs.",
        _bullets("Swept", _swept(results, selections)),
        _bullets("Failed", _failures(results, selections)),
        _bullets("Suspicious", _suspicions(selections)),
    ]
    return "\n\n".join(filter(None, paragraphs))


def registered_page(symbol: str, manifest: Path | None) -> str:
    """Return the page of a registered model: what it is, what its alias means, what it is not.

    Parameters
    ----------
    symbol : str
        The model's registered name.
    manifest : Path or None
        The manifest that named the version with the alias, or None where there is none yet.
    """
    named = f"the deployment manifest `{manifest}`" if manifest else "a deployment manifest"
    return (
        f"Models of {_plain(symbol)}: every trained candidate is a version, whatever its verdict. "
        "They answer a table of features, rows in time order, with the probabilities of losing "
        "and of winning a trade.\n\n"
        f"Alias `{CHAMPION}` stands at the version that {named} named when it last selected a "
        f"model of this symbol: load `models:/{symbol}@{CHAMPION}`, never the newest version. A "
        "later run that selects none leaves the alias where it is, and another manifest with the "
        "same store moves it: tags `manifest` and `manifest_sha256` of a version say which one "
        "named it last. A model trained on simulated data (tag `data`) never takes the alias from "
        "one of real data. The manifest, with digests of all files, is the authority on what is "
        "deployed now."
    )


def _tuning_line(result: Result) -> str:
    """Say what a sweep made of a model; nothing where it was not swept."""
    tuning = result.get("tuning")
    if tuning is None:
        return ""
    line = f"{trials_of(result).capitalize()}: {_plain(tuning['in_words'])}."
    return f"{line} {OF_TUNED.strip()}" if is_tuned(result) else line


def _swept(results: Results, selections: Mapping[str, Result]) -> Iterator[str]:
    for symbol, selection in selections.items():
        for name, one in selection.get("tuning", {}).items():
            yield f"{symbol} {name}: {trials_of(results[symbol][name])}: {one['in_words']}"
        if note := selection.get("note"):
            yield f"{symbol}: {note}"


def _score_rows(result: Result, selection: Result) -> Iterator[Sequence[str]]:
    for heading, metrics, part in PARTS:
        yield _score_row(heading, result[metrics], result["no_skill"][part])
    holdout = selection.get("holdout")
    if selection["selected_model"] == result["model_name"] and isinstance(holdout, Mapping):
        yield _score_row("**holdout**", holdout, holdout["no_skill"])


def _score_row(heading: str, scores: Result, no_skill: Result) -> Sequence[str]:
    auc = scores["roc_auc"]
    return (
        heading,
        str(scores["n"]),
        _against(scores, no_skill, "accuracy", 3),
        _against(scores, no_skill, "log_loss", 4),
        "-" if auc is None else f"{auc:.3f}",
        f"{scores['brier']:.4f}",
    )


def _against(scores: Result, no_skill: Result, name: str, digits: int) -> str:
    return f"{scores[name]:.{digits}f} ({no_skill[name]:.{digits}f})"


def _history_line(result: Result) -> str:
    history = result["history"]
    line = (
        f"Training accuracy {history['train_accuracy']:.3f}, "
        f"{100 * history['train_val_gap']:.1f} points above validation. "
    )
    if history["cv_available"]:
        mean, std = history["cv_mean_accuracy"], history["cv_std_accuracy"]
        line += f"Cross-validation {mean:.3f} with deviation {std:.3f}. "
    return f"{line}Out of fold: {_per_trade(result)}."


def _per_trade(result: Result) -> str:
    expectancy = result["expectancy"]["out_of_fold"]
    if expectancy["expectancy_r"] is None:
        return "no trades"
    return f"{expectancy['expectancy_r']:+.3f} R in {expectancy['trades']} trades"


def _outcome_rows(results: Results, selections: Mapping[str, Result]) -> Iterator[Sequence[str]]:
    for symbol, selection in selections.items():
        chosen, closest = selection["selected_model"], selection.get("closest")
        shown = chosen or (closest["model"] if closest else "")
        result = results.get(symbol, {}).get(shown)
        name = f"**{chosen}**" if chosen else "none"
        if chosen and result and is_tuned(result):
            name += f", {trials_of(result)}"
        why = selection["reason"] if chosen else why_none(selection).removeprefix("none; ")
        yield (_plain(symbol), name, *_outcome_figures(result, selection), _plain(why))


def _outcome_figures(result: Result | None, selection: Result) -> Sequence[str]:
    if result is None:
        return ("-",) * 5
    scores, no_skill = result["out_of_fold"], result["no_skill"]["out_of_fold"]
    holdout = selection["holdout"]
    opened = isinstance(holdout, Mapping)
    return (
        str(scores["n"]),
        _against(scores, no_skill, "accuracy", 3),
        _against(scores, no_skill, "log_loss", 4),
        _against(holdout, holdout["no_skill"], "accuracy", 3) if opened else str(holdout),
        _per_trade(result),
    )


def _failures(results: Results, selections: Mapping[str, Result]) -> Iterator[str]:
    for symbol, selection in selections.items():
        if symbol not in results:
            yield f"{symbol}: {selection['reason']}"
        for name, result in results.get(symbol, {}).items():
            if "error" in result:
                yield f"{symbol} {name}: {result['error']}"
            elif result["augmentation_failures"]:
                yield f"{symbol} {name}: {unaugmented(result)}"


def _suspicions(selections: Mapping[str, Result]) -> Iterator[str]:
    for symbol, selection in selections.items():
        odd = selection.get("data_warnings", ()) if selection["selected_model"] else ()
        for note in [*selection.get("warnings", ()), *odd, *opened_before(selection)]:
            yield f"{symbol}: {note}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table; MLflow shows columns without a gap, so each cell brings its own."""
    rule = f"|{'---|' * len(headings)}"
    first, *others = ("".join(f"|{cell}&emsp;" for cell in row) + "|" for row in (headings, *rows))
    return "\n".join([first, rule, *others])


def _bullets(heading: str, sentences: Iterable[str]) -> str:
    """List sentences under a heading, as many as a page can hold; nothing for none."""
    lines = [f"- {_plain(one)[:LONG_WARNING_CHARS]}" for one in sentences]
    if not lines:
        return ""
    if len(lines) > MANY_WARNINGS:
        others = len(lines) - MANY_WARNINGS
        lines = [*lines[:MANY_WARNINGS], f"- and {others} more, in the result files"]
    return "\n".join([f"**{heading}**", "", *lines])


def _plain(text: str) -> str:
    """Keep text from outside from being read as Markdown or HTML."""
    one_line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_{}\[\]#|~])", r"\\\1", one_line)
