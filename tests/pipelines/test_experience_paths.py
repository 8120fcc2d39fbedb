import pytest

from pipelines.command import ConfigError
from pipelines.experience_paths import experience_files


@pytest.fixture
def folder(tmp_path):
    for name in ("b/experiences.json", "a/experiences-2.jsonl", "a/summary.json", "other.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("[]")
    return tmp_path


def named(folder, *paths):
    return [str(path.relative_to(folder)) for path in paths]


def test_a_folder_stands_for_the_experiences_beneath_it_and_for_nothing_else(folder):
    found = experience_files(str(folder))
    assert named(folder, *found) == ["a/experiences-2.jsonl", "b/experiences.json"]


def test_a_pattern_and_a_file_may_be_called_anything(folder):
    assert named(folder, *experience_files(f"{folder}/*.json")) == ["other.json"]
    deep = experience_files(f"{folder}/**/*.json")
    assert named(folder, *deep) == ["a/summary.json", "b/experiences.json", "other.json"]


def test_a_file_that_is_named_twice_is_read_once_in_the_first_place(folder):
    given = [f"{folder}/other.json", str(folder), f"{folder}/b/../b/experiences.json"]
    found = experience_files(given)
    assert [path.name for path in found] == [
        "other.json",
        "experiences-2.jsonl",
        "experiences.json",
    ]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "experiences: name at least one file, folder or pattern, was empty"),
        ([], "experiences: name at least one file, folder or pattern, was empty"),
        ("none.json", "experiences: none.json: no such file; python -m pipelines.backtest "),
        ("*.none", "experiences: *.none: no file has such a name"),
        ("empty", "experiences: empty holds no experiences*.json or experiences*.jsonl; name the"),
    ],
)
def test_what_stands_for_no_file_is_one_line(given, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as refused:
        experience_files(given)
    assert str(refused.value).startswith(sentence)
