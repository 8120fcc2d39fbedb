"""Settings, folders and manifests that cannot be used: one line and code 2, in no time."""

import re

import pytest

from tests.broken_inputs.command_cases import CASES
from tests.pipelines.conftest import command

ONE_LINE = re.compile(r"configuration error: [^\n]+\n")
IN_PROCESSES = ("m_bomb", "m_pipe", "unknown_key")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_line_says_what_is_wrong(case, said):
    code, line = said["commands"][case.name]
    assert code == 2
    assert ONE_LINE.fullmatch(line), line
    assert line.rstrip().isprintable()
    for words in case.says:
        assert words in line


@pytest.mark.parametrize("name", IN_PROCESSES)
def test_a_process_of_its_own_ends_alike(name, said, tmp_path):
    (case,) = (one for one in CASES if one.name == name)
    if case.write is not None:
        case.write(tmp_path)
    ended = command(case.command, *case.arguments, cwd=tmp_path)
    assert [ended.returncode, ended.stderr] == said["commands"][name]
    assert ended.stdout == ""
