"""What a person sees of a run: a line per model while it trains, tables at the end."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from selection.atomic import write_bytes_atomically
from selection.certified import in_digits
from selection.tuned import is_tuned, n_trials

Result = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Result]]

LEFT = ("", "symbol", "chosen")
LEADERBOARD = (
    "symbol",
    "model",
    "null_model",
    "rows",
    "oof_accuracy",
    "oof_accuracy_no_skill",
    "oof_log_loss",
    "oof_log_loss_no_skill",
    "oof_roc_auc",
    "test_accuracy",
    "test_log_loss",
    "train_val_gap",
    "oof_gap",
    "cv_std_accuracy",
    "oof_expectancy_r",
    "oof_trades",
    "strength",
    "calibration",
    "tuned",
    "verdict",
)
# What must be said wherever a tuned model's figures stand.
OF_TUNED = (
    "Of a tuned model all but validation and test are of the rows after its search alone, on which "
    "it has also been adopted. "
)


def progress_line(result: Result) -> str:
    """Return one line on a model that has just ended."""
    name = f"{result['symbol']} {result['model_name']}"
    if "error" in result:
        return f"{name}: failed: {result['error']}"
    scores, no_skill = result["out_of_fold"], result["no_skill"]["out_of_fold"]
    return (
        f"{name}: out-of-fold log-loss {scores['log_loss']:.4f} "
        f"(no skill {no_skill['log_loss']:.4f}), accuracy {scores['accuracy']:.3f} "
        f"({no_skill['accuracy']:.3f}), {result['training_duration_seconds']:.1f} s"
    )


def warning_line(result: Result, notes: Sequence[str]) -> str:
    """Return a model's first warning and the number of others; nothing where there is none.

    ``notes`` on the symbol's data, which all its models share, have been printed before.
    """
    own = [one for one in result.get("warnings", ()) if one not in notes]
    if not own:
        return ""
    others = f" (and {len(own) - 1} more in its result file)" if own[1:] else ""
    return f"    {own[0]}{others}"


def write_leaderboard(results: Results, selections: Mapping[str, Result], path: Path) -> None:
    """Write one row per symbol and model, best out-of-fold log-loss of each symbol first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, LEADERBOARD, lineterminator="\n")
    writer.writeheader()
    for symbol, models in results.items():
        for result in sorted(models.values(), key=_oof_log_loss):
            writer.writerow(_leaderboard_row(result, selections[symbol]))
    write_bytes_atomically(path, text.getvalue().encode())


def show(
    console: Console, results: Results, selections: Mapping[str, Result], *, simulated: bool
) -> None:
    """Print the leaderboard, the outcome of each symbol, and why there is none where so."""
    console.print(_leaderboard_table(results))
    console.print(_outcome_table(results, selections, simulated=simulated))
    for symbol, selection in selections.items():
        for line, style in _remarks(results.get(symbol, {}), selection):
            console.print(f"{symbol}: {line}", style=style, markup=False, soft_wrap=True)


def show_cost(console: Console, cost: Mapping[str, Any]) -> None:
    """Print where the processor time went."""
    headings = ["", "fit", "walk-forward", "augmentation", "total", "of the fits"]
    table = _table("CPU seconds", "", headings)
    for name, parts in cost["cpu_seconds_by_model"].items():
        table.add_row(name, *(f"{parts[part]:.1f}" for part in parts), f"{sum(parts.values()):.1f}")
    spent = cost["cpu_seconds"]
    fits = spent["fit"] + spent["walk_forward"] + spent["augmentation"]
    columns = (spent["fit"], spent["walk_forward"], spent["augmentation"], fits)
    table.add_row("all models", *(f"{one:.1f}" for one in columns), end_section=True)
    for name in ("logging", "everything_else"):
        share = f"{spent[name] / fits:.1%}" if fits else ""
        table.add_row(name.replace("_", " "), "", "", "", f"{spent[name]:.1f}", share)
    table.add_row("total", "", "", "", f"{spent['total']:.1f}")
    table.add_row("wall time", "", "", "", f"{cost['wall_seconds']:.1f}")
    console.print(table)


def _table(title: str, caption: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, pad_edge=False)
    table.title_justify = table.caption_justify = "left"
    for heading in headings:
        table.add_column(heading, justify="left" if heading in LEFT else "right", no_wrap=True)
    return table


def _leaderboard_table(results: Results) -> Table:
    names = list(dict.fromkeys(name for models in results.values() for name in models))
    tuned = " Tuned models: of the rows after their search alone." if _of_tuned(results) else ""
    table = _table(
        "Out of fold against no skill",
        "First line: log-loss gain in thousandths of a nat. Second: accuracy gain in points."
        f"{tuned}",
        ["symbol", "rows", *(re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", name) for name in names)],
    )
    # All models of a usual run have to fit 80 columns.
    table.padding = (0, 1, 0, 0)
    for symbol, models in results.items():
        rows = [result["out_of_fold"]["n"] for result in models.values() if "error" not in result]
        cells = [_gain(models.get(name)) for name in names]
        table.add_row(symbol, str(max(rows, default=0)), *cells)
    return table


def _gain(result: Result | None) -> str:
    if result is None:
        return "-"
    if "error" in result:
        return "[red]failed[/]"
    scores, no_skill = result["out_of_fold"], result["no_skill"]["out_of_fold"]
    # Adding zero turns a -0.0 into 0.0.
    nats = round(1000 * (no_skill["log_loss"] - scores["log_loss"]), 1) + 0.0
    points = 100 * (scores["accuracy"] - no_skill["accuracy"])
    colour = "green" if nats > 0 else "red"
    return f"[{colour}]{nats:+.1f}[/]\n{points:+.1f}" + ("\ntuned" if is_tuned(result) else "")


def _outcome_table(results: Results, selections: Mapping[str, Result], *, simulated: bool) -> Table:
    judged = any(selection.get("evidence") for selection in selections.values())
    on = "out of fold" if judged else "test"
    p = (
        "p: how often answers without any signal go with the outcomes as well as the council's, "
        "after Holm over the symbols. "
        if judged
        else ""
    )
    table = _table(
        f"Outcome on {'a simulated market' if simulated else 'real data'}",
        "First line: accuracy, second: log-loss; no skill in brackets. Where none was chosen the "
        f"figures are those of the closest. {p}{_of_tuned(results)}"
        f"{on.capitalize()} has been read by selection, the holdout by no rule, and is scored "
        "after calibration. Gap: training less "
        f"{'out-of-fold' if judged else 'validation'} accuracy. R: the distance of the stop, after "
        "costs, out of fold.",
        ["symbol", "chosen", on, "holdout", "gap", "R per trade"],
    )
    for symbol, selection in selections.items():
        cells = _outcome_cells(results.get(symbol, {}), selection, judged=judged)
        table.add_row(escape(symbol), *cells)
    return table


def _of_tuned(results: Results) -> str:
    tuned = any(is_tuned(result) for models in results.values() for result in models.values())
    return OF_TUNED if tuned else ""


def _outcome_cells(
    models: Mapping[str, Result], selection: Result, *, judged: bool
) -> Iterator[str]:
    chosen, closest = selection["selected_model"], selection.get("closest")
    result = models.get(chosen or (closest["model"] if closest else ""))
    suspect = "\n[red]suspect[/]" if chosen and selection["warnings"] else ""
    found = selection.get("evidence")
    p = f"\np {in_digits(found['p_adjusted'])}" if found else ""
    tuned = f"\ntuned\n{n_trials(result)}" if chosen and result and is_tuned(result) else ""
    yield (f"[green]{chosen}[/]" if chosen else "none") + tuned + p + suspect
    if result is None:
        yield from ["-"] * 4
        return
    scores, part = ("out_of_fold", "out_of_fold") if judged else ("test_metrics", "test")
    yield _two_lines(result[scores], result["no_skill"][part])
    yield _holdout_cell(selection["holdout"])
    yield f"{100 * result['history']['oof_gap' if judged else 'train_val_gap']:.1f}%"
    expectancy = result["expectancy"]["out_of_fold"]
    if expectancy["expectancy_r"] is None:
        yield "no trades"
    else:
        yield f"{expectancy['expectancy_r']:+.3f}\n{expectancy['trades']} trades"


def _holdout_cell(holdout: Any) -> str:
    if not isinstance(holdout, Mapping):
        return str(holdout).replace("live", "\nlive")
    openings = holdout["openings"]
    times, colour = openings["n_openings"], "red" if _is_known(holdout) else "yellow"
    again = f"\n[{colour}]opened {times} times[/]" if times > 1 else ""
    return f"{_two_lines(holdout, holdout['no_skill'])}{again}"


def _is_known(holdout: Any) -> bool:
    """Tell whether another configuration has been shown figures of the same holdout."""
    return isinstance(holdout, Mapping) and holdout["openings"]["n_configurations"] > 1


def _two_lines(scores: Mapping[str, Any], no_skill: Mapping[str, Any]) -> str:
    return (
        f"{scores['accuracy']:.3f} ({no_skill['accuracy']:.3f})\n"
        f"{scores['log_loss']:.4f} ({no_skill['log_loss']:.4f})"
    )


def _remarks(models: Mapping[str, Result], selection: Result) -> Iterator[tuple[str, str]]:
    """Yield what must not be overlooked about a symbol: why none, what looks wrong, what failed."""
    if selection["selected_model"] is None:
        judged = selection.get("closest") is not None
        yield why_none(selection), "" if judged else "red"
        if note := selection.get("note"):
            yield note, "yellow"
    else:
        yield selection["reason"], "green"
        for sentence in opened_before(selection):
            yield sentence, "red"
        if (earned := selection["expectancy"]["expectancy_r"]) is None or earned <= 0:
            yield f"signal, but no profit after costs out of fold: {_per_trade(earned)}", "yellow"
        for sentence in selection["data_warnings"]:
            yield f"before it trades, look at its data: {sentence}", "yellow"
    for name, one in selection.get("tuning", {}).items():
        yield f"{name}: {one['in_words']}", ""
    for note in selection.get("warnings", ()):
        yield note, "yellow"
    for name, result in models.items():
        if "error" in result:
            yield f"{name} failed: {result['error']}", "red"
        elif result["augmentation_failures"]:
            yield f"{name}: {unaugmented(result)}", "red"


def _per_trade(earned: float | None) -> str:
    return "no trade was worth taking" if earned is None else f"{earned:+.3f} R a trade"


def opened_before(selection: Result) -> list[str]:
    """Say that other configurations were shown a holdout, where so."""
    holdout = selection.get("holdout")
    if not isinstance(holdout, Mapping) or not _is_known(holdout):
        return []
    return [f"its holdout was {holdout['openings']['in_words']}"]


def why_none(selection: Result) -> str:
    """Say why no model was chosen; by the reference rule, what the closest one fails."""
    closest, reason = selection.get("closest"), selection["reason"]
    if closest and not selection.get("evidence") and closest["fails"] != [reason]:
        return f"none; closest is {closest['model']}: {'; '.join(closest['fails'])}"
    return str(reason)


def unaugmented(result: Result) -> str:
    """Say how many fits of a model went without their augmentation, and why the first did."""
    first, *others = result["augmentation_failures"]
    return f"{len(others) + 1} fits could not be augmented and went without: {first}"


def _oof_log_loss(result: Result) -> float:
    return float("inf") if "error" in result else float(result["out_of_fold"]["log_loss"])


def _leaderboard_row(result: Result, selection: Result) -> dict[str, Any]:
    row = {
        "symbol": result["symbol"],
        "model": result["model_name"],
        "null_model": result["null_model"],
    }
    if "error" in result:
        return {**row, "verdict": verdict(result, selection)}
    scores, no_skill = result["out_of_fold"], result["no_skill"]["out_of_fold"]
    expectancy = result["expectancy"]["out_of_fold"]
    return {
        **row,
        "rows": scores["n"],
        "oof_accuracy": scores["accuracy"],
        "oof_accuracy_no_skill": no_skill["accuracy"],
        "oof_log_loss": scores["log_loss"],
        "oof_log_loss_no_skill": no_skill["log_loss"],
        "oof_roc_auc": scores["roc_auc"],
        "test_accuracy": result["test_metrics"]["accuracy"],
        "test_log_loss": result["test_metrics"]["log_loss"],
        "train_val_gap": result["history"]["train_val_gap"],
        "oof_gap": result["history"]["oof_gap"],
        "cv_std_accuracy": result["history"].get("cv_std_accuracy"),
        "oof_expectancy_r": expectancy["expectancy_r"],
        "oof_trades": expectancy["trades"],
        "strength": result["strength"]["chosen"],
        "calibration": result["calibration"]["kind"] if result["calibration"] else None,
        "tuned": trials_of(result),
        "verdict": verdict(result, selection),
    }


def trials_of(result: Result) -> str:
    """Return ``tuned (50 trials)``, ``not adopted (50 trials)``, or nothing for neither."""
    if result.get("tuning") is None:
        return ""
    return f"{'tuned' if is_tuned(result) else 'not adopted'} ({n_trials(result)})"


def verdict(result: Result, selection: Result) -> str:
    """Return one line: ``selected``, ``refused: ...``, ``failed: ...``, or that it is null."""
    if "error" in result:
        return f"failed: {result['error']}"
    if result["null_model"]:
        return "null model: never deployed"
    if selection["selected_model"] == result["model_name"]:
        return "selected"
    why = selection.get("refused", {}).get(result["model_name"], selection["reason"])
    found = selection.get("evidence")
    evidence = f" ({found['in_words']})" if found and not found["passes"] else ""
    return f"refused: {why}{evidence}"
