"""Where the time of Assay's command goes, and the floor of each part."""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.honesty.runner import one_core_pool
from benchmarks.training.floors import (
    PARENT_LIBRARIES,
    WORKER_LIBRARIES,
    fit_floors,
    import_floor,
    tracking_floors,
)
from benchmarks.training.modes import ASSAY, assay_command, assay_environment, measured
from benchmarks.training.records import Records
from benchmarks.training.usage import used
from benchmarks.training.work import MODELS, NAMES, Work
from selection.atomic import write_bytes_atomically, write_json_atomically

PROFILED = ("same fits", "everything")
PAGE, FOUND = "where_time_goes.md", "where_time_goes.json"
FIT_FLOORS = {
    "random_forest": "RandomForestClassifier.fit alone",
    "xgboost": "xgboost.train alone, as many rounds, nothing watched",
    "mlp": "matrix products alone (bmm over folds), as many epochs",
    "lstm": "matrix products alone (bmm over folds), as many epochs",
    "council": "its two xgboost.train and its logistic regression alone",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a run.

    Attributes
    ----------
    name : str
    cpu_s : float
    floor_s : float or None
        None where no library does the like.
    floor : str
        What was measured as its floor.
    """

    name: str
    cpu_s: float
    floor_s: float | None
    floor: str


def profile(
    work: Work, records: Records, n_processes: int, out: Path, *, floor_symbols: int
) -> int:
    """Write and print where the time goes, for the same fits and for everything.

    Parameters
    ----------
    records : Records
        Where a mode is not among them it is run first.
    floor_symbols : int
        Floors of fits are measured on so many symbols and scaled to all.
    """
    tables, found = [], {}
    for mode in PROFILED:
        record = records.of(work.digest).get((mode, 0))
        if record is None:
            record = {**measured(mode, work, n_processes, out / "logs"), "repetition": 0}
            records.add(record)
        packages = _packages(mode, work, n_processes, out)
        parts = _parts(record, _floors(mode, work, floor_symbols), n_processes)
        found[mode] = {"parts": [asdict(part) for part in parts], "parent": packages}
        tables.append(table(mode, parts, packages))
    write_json_atomically(out / FOUND, found)
    page = "\n".join(tables)
    write_bytes_atomically(out / PAGE, page.encode())
    sys.stdout.write(f"{page}\n{out / PAGE}\n")
    return 0


def table(mode: str, parts: Sequence[Part], packages: Mapping[str, float]) -> str:
    """Return one mode's parts in Markdown, the largest first, and what its parent calls into."""
    total_s = sum(part.cpu_s for part in parts)
    lines = [f"**{mode}**: {total_s:.1f} CPU s", ""]
    lines += [
        "| part | CPU s | share | floor, CPU s | what the floor is |",
        "|---|---|---|---|---|",
    ]
    for part in sorted(parts, key=lambda part: -part.cpu_s):
        floor = "" if part.floor_s is None else f"{part.floor_s:.1f}"
        share = f"{part.cpu_s / total_s:.1%}"
        lines.append(f"| {part.name} | {part.cpu_s:.1f} | {share} | {floor} | {part.floor} |")
    inside = ", ".join(f"{name} {seconds:.1f}" for name, seconds in packages.items())
    lines += ["", f"The command's own process in another run, sampled, CPU s: {inside}.", ""]
    return "\n".join(lines)


def _packages(mode: str, work: Work, n_processes: int, out: Path) -> dict[str, float]:
    """Run a mode once more with its own process profiled."""
    with tempfile.TemporaryDirectory(prefix="training-") as name:
        place = Path(name)
        plain = assay_command(mode, work, n_processes, place)
        start = plain.index("pipelines.train_all")
        module = ["benchmarks.training.profiled", str(place / "profile")]
        command = [*plain[:start], *module, *plain[start + 1 :]]
        log = out / "logs" / "profiled.log"
        used(command, cwd=place, environment=assay_environment(), log=log)
        packages: dict[str, float] = json.loads((place / "profile").read_text())
        return packages


def _floors(mode: str, work: Work, n_symbols: int) -> dict[str, float]:
    """Return the floor of every part that has one, for all symbols."""
    paths, council = _paths(mode, work)
    chosen = work.symbols[:n_symbols]
    with one_core_pool(1) as pool:
        by_symbol = [
            pool.submit(fit_floors, work, symbol, paths, council).result() for symbol in chosen
        ]
        opened_s, run_s = pool.submit(tracking_floors).result()
    scale = len(work.symbols) / len(chosen)
    found = {name: scale * sum(one[name] for one in by_symbol) for name in FIT_FLOORS}
    # Two null models and the council beside the four.
    n_runs = len(work.symbols) * (len(MODELS) + 3)
    return found | {
        "tracking": import_floor(("mlflow",)) + opened_s + n_runs * run_s,
        "worker": import_floor(WORKER_LIBRARIES),
        "parent": import_floor(PARENT_LIBRARIES),
    }


def _paths(mode: str, work: Work) -> tuple[dict[str, list[dict[str, Any]]], Any]:
    """Return every step of each model's strength path in this mode, and the council's conf."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from pipelines.command import CONF
    from pipelines.settings import train_settings

    with initialize_config_dir(str(CONF), version_base="1.3"):
        given = ["data=table", f"data.dir={work.tables}", *ASSAY[mode]]
        composed = compose("train_all", given)
    conf: Any = OmegaConf.to_container(composed, resolve=True)
    stronger = train_settings(conf).stronger
    paths = {
        model: [
            dict(work.models[model]),
            *(
                {**work.models[model], **_given(one.hyperparameters, work.models[model])}
                for one in stronger.get(NAMES[model], ())
            ),
        ]
        for model in MODELS
    }
    return paths, conf["models"]["council"]


def _given(step: Mapping[str, Any], configured: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a step changes, a trial's fewer epochs left as they are."""
    return {key: step[key] for key in configured if key != "max_epochs"}


def _parts(record: Mapping[str, Any], floors: Mapping[str, float], n_processes: int) -> list[Part]:
    costs = record["parts_cpu_s"]
    by_name = {name: sum(parts.values()) for name, parts in costs["by_model"].items()}
    parts = [
        Part(f"{NAMES[model]}, all fits", by_name.pop(NAMES[model]), floors[model], floor)
        for model, floor in FIT_FLOORS.items()
        if model in NAMES
    ]
    council_s = by_name.pop("Council", 0.0)
    parts.append(Part("Council, all fits", council_s, floors["council"], FIT_FLOORS["council"]))
    parts.append(Part("null models, all fits", sum(by_name.values()), None, ""))
    tracking_s = record["tracking_cpu_s"]
    parts.append(
        Part(
            "tracking",
            tracking_s,
            floors["tracking"],
            "importing mlflow, opening a store, MlflowClient's calls in batches",
        )
    )
    # The first waits, the second is the command's own; the last a worker did may be unseen.
    workers_s = sum(record["cpu_by_process_s"][2:])
    beyond_s = max(0.0, workers_s - record["fits_cpu_s"])
    parts.append(
        Part(
            "workers beyond fits",
            beyond_s,
            n_processes * floors["worker"],
            f"importing {', '.join(WORKER_LIBRARIES[1:])} in {n_processes} processes",
        )
    )
    rest_s = record["cpu_s"] - record["fits_cpu_s"] - tracking_s - beyond_s
    words = f"importing {', '.join(PARENT_LIBRARIES)}"
    parts.append(Part("the command's own process beyond tracking", rest_s, floors["parent"], words))
    return parts
