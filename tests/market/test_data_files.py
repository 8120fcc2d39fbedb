"""Tables in a folder: which files count, packed ones too."""

import gzip

import pytest

from market.bars import DataError
from market.data_files import read_frame, symbol_files

TEXT = b"timestamp,rsi,label\n2024-01-01 00:00:00,50.5,1\n"


def test_a_packed_table_is_the_table_and_its_symbol_the_name_before_both_endings(tmp_path):
    (tmp_path / "EUR.USD.csv.gz").write_bytes(gzip.compress(TEXT))
    files = symbol_files(tmp_path)
    assert list(files) == ["EUR.USD"]
    (path,) = files["EUR.USD"]
    assert read_frame(path.read_bytes(), path).rows() == [("2024-01-01 00:00:00", 50.5, 1)]


def test_a_packed_table_that_ends_too_soon_is_told_in_one_line(tmp_path):
    path = tmp_path / "EURUSD.csv.gz"
    packed = gzip.compress(TEXT * 50)[:-9]
    with pytest.raises(DataError, match=r"^EURUSD\.csv\.gz: cannot be read: [^\n]+$"):
        read_frame(packed, path)
