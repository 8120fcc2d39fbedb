"""What is simulated: cells of a world, a number of rows and a rule; and what is promised."""

import zlib
from dataclasses import dataclass

import numpy as np

N_SYMBOLS = 11
SYMBOLS = tuple(f"S{number:02d}" for number in range(1, N_SYMBOLS + 1))

NULLS = ("balanced", "base_rate_60", "overlapping", "every_bar", "drifting")
TWO_SIDED_NULLS = ("overlapping_two_sided", "every_bar_two_sided")

# The council judges; with no other candidate beside it, a run is cheap.
COUNCIL_ALONE = (
    "~models.random_forest",
    "~models.xgboost",
    "~models.mlp",
    "~models.lstm",
    "~null_models.logistic",
    "~null_models.majority",
)
# Overrides of train_all, by the name under which a rule is reported.
RULES: dict[str, tuple[str, ...]] = {
    "certified": ("selection=certified", *COUNCIL_ALONE),
    "certified, all candidates": ("selection=certified",),
    "reference, all candidates": (
        "selection=reference",
        "regularize=reference",
        "augmentation=always",
    ),
}
COMMON_OVERRIDES = ("data=table", "tracking=none", "execution.workers=1")

# At most this share of runs over 11 symbols deploys anything on noise.
MOST_FALSE_DEPLOYS = 0.05
# At least this share of symbols with a signal is deployed.
LEAST_POWER: dict[tuple[str, int], float] = {
    ("signal_68", 300): 0.40,
    ("signal_68", 600): 0.90,
    ("signal_68_overlap", 600): 0.60,
    ("signal_60", 1000): 0.60,
    ("signal_60", 2000): 0.80,
}
# The printed accuracy is at most so far above that on fresh rows, where power exceeds the latter.
MOST_OVERSTATED_POINTS = 2.0
POWER_FOR_ACCURACY = 0.7


@dataclass(frozen=True, slots=True)
class Cell:
    """A world, a number of rows and a rule, simulated a number of times.

    Attributes
    ----------
    world : str
        A key of `worlds.WORLDS`.
    n_rows : int
        Labelled rows of each symbol, the holdout among them where one is cut.
    n_runs : int
        Runs of 11 symbols.
    rule : str
        A key of ``RULES``.
    """

    world: str
    n_rows: int
    n_runs: int
    rule: str = "certified"

    @property
    def name(self) -> str:
        """What the cell is called in records."""
        return f"{self.world}, {self.n_rows} rows, {self.rule}"

    @property
    def is_null(self) -> bool:
        """Whether nothing should be deployed."""
        return self.world in NULLS + TWO_SIDED_NULLS


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells simulated together.

    Attributes
    ----------
    seed : int
        Of all its data; distinct from that of every other grid.
    cells : tuple of Cell
    """

    seed: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """One run of 11 symbols.

    Attributes
    ----------
    grid : str
    cell : Cell
    run : int
        From 0.
    seed : int
        Of the grid, or the one asked for.
    """

    grid: str
    cell: Cell
    run: int
    seed: int

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What the job is known by in records."""
        return self.grid, self.cell.name, self.run, self.seed

    def generators(self) -> list[np.random.Generator]:
        """Return one generator per symbol and one for the run, whatever else is simulated.

        Rules are no part of the key: they are tried on the same data.
        """
        place = f"{self.grid}/{self.cell.world}/{self.cell.n_rows}"
        key = (zlib.crc32(place.encode()), self.run)
        sequence = np.random.SeedSequence(self.seed, spawn_key=key)
        return [np.random.default_rng(one) for one in sequence.spawn(N_SYMBOLS + 1)]


def _nulls(worlds: tuple[str, ...], n_rows: int, n_runs: int) -> tuple[Cell, ...]:
    return tuple(Cell(world, n_rows, n_runs) for world in worlds)


def _both_rules(world: str, n_rows: int, n_runs: int) -> tuple[Cell, ...]:
    rules = ("certified, all candidates", "reference, all candidates")
    return tuple(Cell(world, n_rows, n_runs, rule) for rule in rules)


GRIDS: dict[str, Grid] = {
    "null": Grid(20_417, _nulls(NULLS, 300, 40)),
    "null_larger": Grid(
        31_607,
        _nulls(NULLS, 600, 10)
        + _nulls(NULLS, 1000, 10)
        + _nulls(("every_bar",), 2000, 30)
        + _nulls(tuple(world for world in NULLS if world != "every_bar"), 2000, 10),
    ),
    "null_two_sided": Grid(
        40_961, _nulls(TWO_SIDED_NULLS, 300, 40) + _nulls(TWO_SIDED_NULLS, 1000, 20)
    ),
    "power": Grid(
        52_711,
        tuple(Cell(world, n_rows, 30 if n_rows == 300 else 10) for world, n_rows in LEAST_POWER),
    ),
    "candidates": Grid(
        63_073,
        (
            *_both_rules("balanced", 300, 3),
            *_both_rules("base_rate_60", 300, 3),
            *_both_rules("overlapping", 300, 3),
            *_both_rules("signal_68", 600, 2),
        ),
    ),
}


def jobs(grid: str, *, seed: int | None = None, most_runs: int | None = None) -> list[Job]:
    """Return the runs of a grid, its cells taking turns, so that all of them grow together.

    Parameters
    ----------
    grid : str
        A key of ``GRIDS``.
    seed : int, optional
        In place of the grid's own.
    most_runs : int, optional
        Of each cell.
    """
    chosen = GRIDS[grid]
    own_seed = chosen.seed if seed is None else seed
    all_jobs = [
        Job(grid, cell, run, own_seed)
        for cell in chosen.cells
        for run in range(min(cell.n_runs, most_runs or cell.n_runs))
    ]
    return sorted(all_jobs, key=lambda job: job.run)
