import json

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from exits.experience_files import ExperienceError, records

SOME = [
    {"trade_id": "a", "note": 'a "quote", a \\ and a [ or }', "list": [[1, 2], {"b": []}]},
    {"trade_id": "b\n", "empty": {}, "none": None},
    {"trade_id": "ü", "experiences": [1, 2], "text": '{"experiences": ['},
]


def lines(some, mark=",\n"):
    return mark.join(json.dumps(record) for record in some)


KINDS = {
    "lines": lambda some: lines(some, "\n") + "\n",
    "lines with blank ones, without a last break": lambda some: "\n\n" + lines(some, "\r\n \r\n"),
    "objects over many lines": lambda some: "\n".join(json.dumps(one, indent=2) for one in some),
    "array in one line": lambda some: json.dumps(some),
    "array in one line and a break": lambda some: json.dumps(some) + "\n",
    "array over many lines": lambda some: json.dumps(some, indent=4),
    "array without margin": lambda some: json.dumps(some, indent=0),
    "array of lines": lambda some: f"[\n{lines(some)}\n]\n",
    "array of lines, brackets beside": lambda some: f"  [{lines(some)}]",
    "array of lines, commas first": lambda some: f"[{lines(some, chr(10) + ',')} ]\n\n",
    "object in one line": lambda some: json.dumps({"n": {"experiences": 1}, "experiences": some}),
    "object over many lines": lambda some: json.dumps({"experiences": some, "n": [1]}, indent=1),
    "object of lines": lambda some: f'{{"n": "[", "experiences" : [\n{lines(some)}\n],"m":[]}}',
    "object of lines, bracket beside": lambda some: (
        f'{{"experiences":[\n{lines(some)}],\n"m":\n3}}\n'
    ),
    "byte order mark": lambda some: "\ufeff" + json.dumps(some),
}


def cut(tmp_path, text):
    path = tmp_path / "experiences.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(records(path))


@pytest.mark.parametrize("n_records", [0, 1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_records_come_whole_and_in_order_out_of_every_kind_of_file(tmp_path, kind, n_records):
    text = KINDS[kind](SOME[:n_records])
    found = cut(tmp_path, text)
    assert [json.loads(one.content) for one in found] == SOME[:n_records]
    assert [one.index for one in found] == list(range(n_records))
    for one in found:
        # The line named is where the record's first characters stand.
        assert text.splitlines()[one.line - 1].find(one.content.decode()[:1]) >= 0


def test_a_broken_line_leaves_the_others(tmp_path):
    broken = ['{"a": 1', '{"b": "x}', "what?", "5", "]"]
    for text in ("\n".join(["{}", *broken, '{"c":3}']), "\n".join(['{"a":', *broken, '{"c":3}'])):
        found = cut(tmp_path, text)
        assert [one.content.decode() for one in found][1:] == [*broken, '{"c":3}']
        assert [one.line for one in found] == list(range(1, 8))


@pytest.mark.parametrize("lost", range(1, 40))
def test_a_file_that_ends_too_early_keeps_its_whole_records(tmp_path, lost):
    for kind in ("array in one line", "array over many lines", "object of lines", "lines"):
        found = cut(tmp_path, KINDS[kind](SOME)[:-lost])
        assert [json.loads(one.content) for one in found[:2]] == SOME[:2]


def test_an_object_that_holds_no_list_of_experiences_is_a_record(tmp_path):
    for text in ('{"experiences": {"a": 1}}', '{"a": {"experiences": [1]}}', "{}"):
        assert [one.content.decode() for one in cut(tmp_path, text)] == [text]


def test_an_empty_file_has_no_records_and_a_missing_one_is_named(tmp_path):
    assert cut(tmp_path, "") == cut(tmp_path, " \n\t") == []
    for path, why in ((tmp_path / "none.json", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ExperienceError, match=f"{path}: cannot be read: {why}"):
            list(records(path))


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([*'{}[],:"\\\n ', "experiences", "a", "1", '"experiences":[', "]"]))
)
def test_any_bytes_are_cut_without_an_error_and_without_overlap(tmp_path_factory, pieces):
    content = "".join(pieces).encode()
    found = cut(tmp_path_factory.mktemp("any"), content)
    at = 0
    for one in found:
        assert one.content
        at = content.index(one.content, at) + len(one.content)
        assert one.line <= content.count(b"\n") + 1
