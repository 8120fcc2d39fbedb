"""Every broken file ends in one line, and everything else is trained."""

import csv
import re

import pytest

from tests.broken_inputs.conftest import GOOD
from tests.broken_inputs.ended import ended
from tests.broken_inputs.page import PAGE, page
from tests.broken_inputs.said import FILES

KINDS = pytest.mark.parametrize("kind", ["bars", "table"])
EACH = pytest.mark.parametrize(
    ("kind", "case"),
    [(kind, case) for kind, cases in FILES.items() for case in cases],
    ids=lambda one: getattr(one, "file", one).encode("unicode_escape").decode()[:40],
)
NOW = re.compile(r"it is \d{4}-\d\d-\d\d[ T]\d\d:\d\d UTC")
PLAIN_NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")


@pytest.fixture
def run(kind, request):
    return request.getfixturevalue("bar_run" if kind == "bars" else "table_run")


@EACH
def test_one_line_names_the_file_the_place_and_what_to_do(said, kind, case):
    used, _, line = said[kind][case.file]
    assert used == case.used, line
    for words in case.says:
        assert words in line
    assert line.isprintable()
    assert len(line) < 500


@EACH
def test_a_line_on_a_file_begins_with_its_name_or_counts_its_rows(said, kind, case):
    _, _, line = said[kind][case.file]
    if not case.used:
        name = case.file[:40].encode("unicode_escape").decode().replace("\\udcff", "\\xff")
        assert line.startswith((name.replace("\\\\", "\\"), "0 labelled", "60 labelled"))


@KINDS
def test_what_can_be_used_is_trained_and_the_rest_has_its_line(run, said, kind):
    assert run.code == 3
    symbols = run.record["symbols"]
    assert all(symbols[good]["status"] == "trained" for good in GOOD)
    for case in FILES[kind]:
        used, symbol, line = said[kind][case.file]
        if not case.joins_others:
            continue
        assert symbols[symbol]["status"] == ("trained" if used else "failed")
        if not used:
            assert NOW.sub("", symbols[symbol]["error"]) == NOW.sub("", line)
            assert f"{symbol}: {symbols[symbol]['error']}\n" in run.printed
    assert "Traceback" not in run.printed


@KINDS
def test_every_broken_symbol_is_in_the_manifest_without_a_model(run, said, kind):
    for used, symbol, _ in said[kind].values():
        if not used and symbol in run.record["symbols"]:
            assert run.manifest["selections"][symbol]["selected_model"] is None


@KINDS
def test_no_table_that_a_run_writes_carries_a_formula(run, kind):
    written = list(run.folder.rglob("*.csv"))
    assert written
    for path in written:
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert len(cells) > 20
        for cell in cells:
            assert PLAIN_NUMBER.fullmatch(cell) or not cell.startswith(("=", "+", "-", "@"))


def test_a_broken_file_alone_is_code_1_and_leaves_no_manifest(tmp_path):
    (tmp_path / "in").mkdir()
    FILES["bars"][0].write(tmp_path / "in")
    data = ("debug=smoke", "symbols=null", "data=bars", "data.dir=in", "data.cache=null")
    code, _ = ended("train_all", (*data, "output_dir=out", "manifest.path=live.json"), tmp_path)
    assert code == 1
    assert not (tmp_path / "live.json").exists()


def test_inspect_finds_in_every_file_what_a_run_finds(bar_run, said):
    code, errors, found = bar_run.inspected
    assert (code, errors) == (3, "")
    for case in FILES["bars"]:
        used, symbol, line = said["bars"][case.file]
        if case.joins_others and not used and "labelled rows" not in line:
            assert NOW.sub("", found[symbol]) == NOW.sub("", line)


def test_the_page_tells_what_is_given_and_said(said):
    assert PAGE.read_text(encoding="utf-8") == page(said), "run python -m tests.broken_inputs"
