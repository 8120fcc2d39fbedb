import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.strict_json import MOST_LEVELS, MOST_VALUES, strict_json

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_documents_are_read_as_the_standard_library_reads_them(document: object) -> None:
    for ascii_only in (True, False):
        assert strict_json(json.dumps(document, ensure_ascii=ascii_only).encode()) == document


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_refused_in_one_line(content: bytes) -> None:
    refused = ""
    try:
        strict_json(content)
    except ValueError as error:
        refused = str(error)
    assert refused.isprintable()


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"{", "is not JSON: Expecting property name"),
        (b"\xff\xfe{\x00}\x00", "is not JSON: 'utf-8' codec can't decode byte 0xff"),
        (b"\xef\xbb\xbf{}", "is not JSON: Unexpected UTF-8 BOM"),
        (b'{"a": 1, "b": 2, "a": 3}', "holds the key a twice in one object"),
        (b'[[{"x": {"\\u001b[2J": 1, "\\u001b[2J": 1}}]]', r"holds the key \\x1b\[2J twice"),
        (b'{"a": NaN}', "holds NaN, expected finite numbers"),
        (b"[1e999]", "holds 1e999, expected finite numbers"),
        (b"[" + b"9" * 10**6 + b"]", "holds a number of 1000000 digits, expected at most 100"),
        (b"[0." + b"9" * 10**6 + b"]", "holds a number of 1000002 digits, expected at most 100"),
        (b"[" * (MOST_LEVELS + 1) + b"]" * (MOST_LEVELS + 1), "is nested more than 100 levels"),
        (b"[" * 10**6, "is nested more than 100 levels|is not JSON"),
        (b'{"a":' * 10**5 + b"1" + b"}" * 10**5, "is nested more than 100 levels deep"),
        (b"[" + b"0," * MOST_VALUES + b"0]", "holds about 2000001 values, expected at most 2000"),
        (b'["\\ud800"]', r"holds a text that is none: \\ud800"),
        (b'{"\\udc80": 1}', r"holds a text that is none: \\x80"),
    ],
)
def test_what_would_cost_or_hide_something_is_refused(content: bytes, finding: str) -> None:
    with pytest.raises(ValueError, match=f"^{finding}") as refused:
        strict_json(content)
    assert str(refused.value).isprintable()


def test_a_document_is_not_looked_at_beyond_its_limit() -> None:
    assert strict_json(b"[1]", most_bytes=3) == [1]
    with pytest.raises(ValueError, match=r"^has 3 bytes, expected at most 2$"):
        strict_json(b"[1]", most_bytes=2)


def test_a_pair_of_surrogates_is_one_sign() -> None:
    assert strict_json(b'["\\ud83d\\ude00"]') == ["\U0001f600"]
