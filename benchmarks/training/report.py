"""The table: what every contender costs on the same rows, and how well it predicts."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from benchmarks.training.work import MODELS, NAMES

Record = Mapping[str, Any]
# Models in the order in which people name them.
COLUMNS = ("random_forest", "xgboost", "mlp", "lstm")


def page(records: Sequence[Record], *, n_rows: int, source: str) -> str:
    """Return both tables in Markdown, contenders in the order given.

    Parameters
    ----------
    records : sequence of mapping
        At least one; several of one mode are repetitions, of which the median is shown.
    n_rows : int
        Of each symbol's table.
    source : str
        Where the rows are from, in words.
    """
    modes = list(dict.fromkeys(one["mode"] for one in records))
    by_mode = {mode: [one for one in records if one["mode"] == mode] for mode in modes}
    first = records[0]
    fits = len(first["fitted"])
    lines = [
        f"{first['symbols']} symbols x {n_rows} rows, {source}: {fits} models, each fitted on "
        "every block of the walk-forward and once on all of development.",
        "",
        *_cost_table(by_mode),
        "",
        *_loss_table(by_mode),
    ]
    return "\n".join(lines) + "\n"


def _cost_table(by_mode: Mapping[str, Sequence[Record]]) -> list[str]:
    columns: dict[str, Callable[[Sequence[Record]], str]] = {
        "CPU s": lambda ones: _number(typical(ones, "cpu_s")),
        "of bare": lambda ones: _ratio(ones, by_mode.get("bare")),
        "of naive": lambda ones: _ratio(ones, by_mode.get("naive")),
        "of naive, one thread": lambda ones: _ratio(ones, by_mode.get("naive, one thread")),
        "fits, CPU s": lambda ones: _number(typical(ones, "fits_cpu_s")),
        "of these the four models": lambda ones: _number(typical(ones, "same_fits_cpu_s")),
        "tracking, CPU s": lambda ones: _number(typical(ones, "tracking_cpu_s")),
        "not fitting": lambda ones: f"{median(map(overhead, ones)):.1%}",
        "wall s": lambda ones: _number(typical(ones, "wall_s")),
        "use of the cores": lambda ones: f"{median(map(core_use, ones)):.2f}",
        "peak of one process, MiB": lambda ones: f"{typical(ones, 'peak_process_mib'):.0f}",
        "peak of all, MiB": _tree,
    }
    return _table(columns, by_mode)


def _loss_table(by_mode: Mapping[str, Sequence[Record]]) -> list[str]:
    columns: dict[str, Callable[[Sequence[Record]], str]] = {}
    for part, words in (("out_of_fold", "out of fold"), ("test", "test")):
        for model in COLUMNS:
            columns[f"{NAMES[model]}, {words}"] = _loss_cell(part, (model,))
        columns[f"all four, {words}"] = _loss_cell(part, MODELS)
    return _table(columns, by_mode)


def _loss_cell(part: str, models: Sequence[str]) -> Callable[[Sequence[Record]], str]:
    return lambda ones: f"{fmean(log_loss(one, part, models) for one in ones):.4f}"


def _table(
    columns: Mapping[str, Callable[[Sequence[Record]], str]],
    by_mode: Mapping[str, Sequence[Record]],
) -> list[str]:
    rows = [[mode, *(cell(ones) for cell in columns.values())] for mode, ones in by_mode.items()]
    return [_line(["", *columns]), _line(["---"] * (1 + len(columns))), *map(_line, rows)]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def typical(records: Sequence[Record], name: str) -> float:
    """Return the median of a figure over repetitions."""
    return float(median(one[name] for one in records))


def core_use(record: Record) -> float:
    """Return CPU seconds over wall seconds times processes: 1 where no core was ever idle."""
    return float(record["cpu_s"] / (record["wall_s"] * record["processes"]))


def overhead(record: Record) -> float:
    """Return the share of a contender's CPU seconds that is no fit and no prediction of one."""
    return 1.0 - float(record["fits_cpu_s"] / record["cpu_s"])


def log_loss(record: Record, part: str, models: Sequence[str]) -> float:
    """Return the mean log-loss over symbols and models, nats per row."""
    return fmean(one[part] for one in record["fitted"] if one["model"] in models)


def _ratio(ones: Sequence[Record], baseline: Sequence[Record] | None) -> str:
    if not baseline:
        return ""
    return f"{typical(ones, 'cpu_s') / typical(baseline, 'cpu_s'):.2f}"


def _tree(ones: Sequence[Record]) -> str:
    known = [one["peak_tree_mib"] for one in ones if one["peak_tree_mib"] is not None]
    return f"{median(known):.0f}" if known else ""


def _number(value: float) -> str:
    return f"{value:.1f}"
