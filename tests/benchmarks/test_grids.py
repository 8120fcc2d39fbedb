"""Grids: every run can be made alone, and rules are tried on the same data."""

import dataclasses
import itertools

import numpy as np
import pytest

from benchmarks.honesty.grids import GRIDS, LEAST_POWER, NULLS, RULES, Cell, Job, jobs
from benchmarks.honesty.worlds import WORLDS

JOB = Job("null", Cell("balanced", 300, 40), 7, 20_417)


def numbers(job):
    return [rng.random() for rng in job.generators()]


def test_a_run_draws_the_same_whenever_it_is_made_and_another_draws_otherwise():
    others = (
        dataclasses.replace(JOB, run=8),
        dataclasses.replace(JOB, seed=1),
        dataclasses.replace(JOB, grid="power"),
        dataclasses.replace(JOB, cell=Cell("balanced", 600, 40)),
        dataclasses.replace(JOB, cell=Cell("drifting", 300, 40)),
    )
    drawn = [numbers(JOB), *map(numbers, others)]
    assert numbers(JOB) == drawn[0]
    assert len(set(np.concatenate(drawn))) == 12 * len(drawn)


def test_rules_are_tried_on_the_same_data():
    other_rule = Cell("balanced", 300, 1, "reference, all candidates")
    assert numbers(dataclasses.replace(JOB, cell=other_rule)) == numbers(JOB)


def test_every_cell_has_a_world_and_a_rule_and_no_two_of_a_grid_a_name():
    for grid in GRIDS.values():
        assert {cell.world for cell in grid.cells} <= set(WORLDS)
        assert {cell.rule for cell in grid.cells} <= set(RULES)
        assert len({cell.name for cell in grid.cells}) == len(grid.cells)
    assert len({grid.seed for grid in GRIDS.values()}) == len(GRIDS)


def test_the_grids_hold_what_is_promised():
    assert sum(cell.n_runs for cell in GRIDS["null"].cells) == 200
    assert {cell.world for cell in GRIDS["null"].cells} == set(NULLS)
    power = {(cell.world, cell.n_rows) for cell in GRIDS["power"].cells}
    assert power == set(LEAST_POWER)


@pytest.mark.parametrize("most_runs", [None, 2])
def test_cells_take_turns_and_a_cap_cuts_each(most_runs):
    listed = jobs("null_larger", most_runs=most_runs)
    cells = GRIDS["null_larger"].cells
    assert len(listed) == sum(min(cell.n_runs, most_runs or cell.n_runs) for cell in cells)
    assert [job.cell for job in listed[: len(cells)]] == list(cells)
    assert all(a.run <= b.run for a, b in itertools.pairwise(listed))
    assert {job.seed for job in jobs("null", seed=5)} == {5}
