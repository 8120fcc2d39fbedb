"""All broken files of bars."""

from tests.broken_inputs import packed_cases, row_cases

CASES = [*packed_cases.CASES, *row_cases.CASES, *row_cases.NAMES]
