"""What a person sees of a run: a line per model while it trains, tables at the end."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from selection import ModelSelector
from selection.atomic import write_bytes_atomically

Result = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Result]]

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
    "cv_std_accuracy",
    "oof_expectancy_r",
    "oof_trades",
    "verdict",
)


def progress_lines(result: Result) -> Iterator[str]:
    """Yield a line on a model that has just ended, and one for each warning."""
    yield _progress_line(result)
    for warning in result.get("warnings", ()):
        yield f"    {result['symbol']} {result['model_name']} {warning}"


def write_leaderboard(results: Results, selector: ModelSelector, path: Path) -> None:
    """Write one row per symbol and model, best out-of-fold log-loss of each symbol first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, LEADERBOARD, lineterminator="\n")
    writer.writeheader()
    for models in results.values():
        for result in sorted(models.values(), key=_oof_log_loss):
            writer.writerow(_leaderboard_row(result, selector))
    write_bytes_atomically(path, text.getvalue().encode())


def show(
    console: Console,
    results: Results,
    selections: Mapping[str, Result],
    failed: Mapping[str, str],
    *,
    simulated: bool,
) -> None:
    """Print the leaderboard and the outcome, a row per symbol."""
    if not console.is_terminal:
        console.width = max(console.width, 160)
    console.print(_leaderboard_table(results))
    console.print(_outcome_table(results, selections, failed, simulated=simulated))
    for symbol, models in results.items():
        for name, result in models.items():
            if "error" in result:
                console.print(
                    f"{symbol} {name} failed: {result['error']}", style="red", soft_wrap=True
                )


def show_cost(console: Console, cost: Mapping[str, Any]) -> None:
    """Print where the processor time went."""
    table = Table(title="CPU seconds", title_justify="left")
    for heading in ("", "fit", "walk-forward", "augmentation", "total", "share of fits"):
        table.add_column(heading, justify="right" if heading else "left")
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


def _progress_line(result: Result) -> str:
    name = f"{result['symbol']} {result['model_name']}"
    if "error" in result:
        return f"{name}: failed: {result['error']}"
    scores, no_skill = result["out_of_fold"], result["no_skill"]["out_of_fold"]
    return (
        f"{name}: out-of-fold log-loss {scores['log_loss']:.4f} "
        f"(no skill {no_skill['log_loss']:.4f}), accuracy {scores['accuracy']:.3f} "
        f"({no_skill['accuracy']:.3f}), {result['training_duration_seconds']:.1f} s"
    )


def _leaderboard_table(results: Results) -> Table:
    names = list(dict.fromkeys(name for models in results.values() for name in models))
    table = Table(
        title="Out of fold against no skill: log-loss gain in thousandths of a nat / "
        "accuracy gain in points",
        title_justify="left",
    )
    table.add_column("symbol")
    table.add_column("rows", justify="right")
    for name in names:
        table.add_column(name, justify="right")
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
    nats = 1000 * (no_skill["log_loss"] - scores["log_loss"])
    points = 100 * (scores["accuracy"] - no_skill["accuracy"])
    colour = "green" if nats > 0 else "red"
    return f"[{colour}]{nats:+.1f}[/] / {points:+.1f}"


def _outcome_table(
    results: Results,
    selections: Mapping[str, Result],
    failed: Mapping[str, str],
    *,
    simulated: bool,
) -> Table:
    kind = "simulated market" if simulated else "real data"
    table = Table(
        title=f"Outcome ({kind}); each figure against no skill in brackets",
        title_justify="left",
        caption="Test figures have been read by selection; the holdout by no rule. "
        "R: the distance of the stop, after costs.",
        caption_justify="left",
    )
    for heading in ("symbol", "chosen, or why none"):
        table.add_column(heading, overflow="fold")
    for heading in (
        "test accuracy",
        "test log-loss",
        "holdout accuracy",
        "holdout log-loss",
        "gap",
        "R per trade (trades)",
    ):
        table.add_column(heading, justify="right")
    for symbol, selection in selections.items():
        if symbol in failed:
            table.add_row(symbol, f"[red]{failed[symbol]}[/]", *["-"] * 6)
        else:
            table.add_row(symbol, *_outcome_cells(results[symbol], selection))
    return table


def _outcome_cells(models: Mapping[str, Result], selection: Result) -> Iterator[str]:
    chosen = selection["selected_model"]
    closest = selection.get("closest")
    result = models.get(chosen or (closest["model"] if closest else ""))
    yield f"[green]{chosen}[/]" if chosen else _why_none(closest)
    if result is None:
        yield from ["-"] * 6
        return
    no_skill = result["no_skill"]["test"]
    yield f"{result['test_metrics']['accuracy']:.3f} ({no_skill['accuracy']:.3f})"
    yield f"{result['test_metrics']['log_loss']:.4f} ({no_skill['log_loss']:.4f})"
    holdout = selection.get("holdout")
    if isinstance(holdout, Mapping):
        yield f"{holdout['accuracy']:.3f} ({holdout['no_skill']['accuracy']:.3f})"
        yield f"{holdout['log_loss']:.4f} ({holdout['no_skill']['log_loss']:.4f})"
    else:
        yield from [str(holdout)] * 2
    yield f"{100 * result['history']['train_val_gap']:.1f}%"
    expectancy = result["expectancy"]["out_of_fold"]
    if expectancy["expectancy_r"] is None:
        yield "no trades"
    else:
        yield f"{expectancy['expectancy_r']:+.3f} ({expectancy['trades']})"


def _why_none(closest: Mapping[str, Any] | None) -> str:
    if closest is None:
        return "none: every model failed"
    return f"none; closest is {closest['model']}: {'; '.join(closest['fails'])}"


def _oof_log_loss(result: Result) -> float:
    return float("inf") if "error" in result else float(result["out_of_fold"]["log_loss"])


def _leaderboard_row(result: Result, selector: ModelSelector) -> dict[str, Any]:
    row = {
        "symbol": result["symbol"],
        "model": result["model_name"],
        "null_model": result["null_model"],
    }
    if "error" in result:
        return {**row, "verdict": f"failed: {result['error']}"}
    scores, no_skill = result["out_of_fold"], result["no_skill"]["out_of_fold"]
    expectancy = result["expectancy"]["out_of_fold"]
    failures = selector.failures(result)
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
        "cv_std_accuracy": result["history"].get("cv_std_accuracy"),
        "oof_expectancy_r": expectancy["expectancy_r"],
        "oof_trades": expectancy["trades"],
        "verdict": "; ".join(failures) if failures else "passes the reference rule",
    }
