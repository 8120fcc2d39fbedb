"""The group `events_bus` of every command that has one."""

import subprocess
import sys

import pytest

from live.redis_bus import RedisBus
from live.sqlite_bus import SqliteBus
from pipelines.command import ConfigError
from pipelines.events_bus import events_bus
from tests.pipelines.conftest import CONF

SQLITE = {"kind": "sqlite", "path": "events.db", "prefix": "p:", "timeout_s": 5.0}
REDIS = {"kind": "redis", "url": "redis://h", "prefix": "", "timeout_s": 5.0, "ca_file": None}


@pytest.mark.parametrize(("name", "kind"), [("sqlite", SqliteBus), ("redis", RedisBus)])
def test_the_files_of_the_group_make_a_bus_and_open_nothing(tmp_path, monkeypatch, name, kind):
    yaml = pytest.importorskip("yaml")
    monkeypatch.chdir(tmp_path)
    conf = yaml.safe_load((CONF / "events_bus" / f"{name}.yaml").read_text())
    assert isinstance(events_bus({"events_bus": conf}), kind)
    assert conf["prefix"] == "quantum:stream:"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (SQLITE | {"kind": "kafka"}, "events_bus.kind: must be one of redis, sqlite, was kafka"),
        (SQLITE | {"pth": "a"}, "events_bus.pth: unknown key, did you mean path?"),
        (SQLITE | {"path": " "}, "events_bus.path must name a file, was empty"),
        (SQLITE | {"timeout_s": "5"}, "events_bus.timeout_s must be a number, was '5'"),
        (SQLITE | {"timeout_s": -1.0}, "events_bus.timeout_s must be above 0 seconds, was -1.0"),
        (REDIS | {"url": "localhost"}, "events_bus.url must begin with redis://HOST"),
        (REDIS | {"url": "redis://u:p@h"}, "events_bus.url must hold no password: give it in"),
        (REDIS | {"ca_file": "a.pem"}, "events_bus.ca_file goes with a url that begins with red"),
    ],
)
def test_a_setting_that_is_wrong_is_one_line_with_its_key(values, sentence):
    with pytest.raises(ConfigError) as refused:
        events_bus({"events_bus": values})
    assert str(refused.value).startswith(sentence)


def test_without_the_package_the_embedded_bus_works_and_redis_says_what_to_install():
    code = f"""
import sys
sys.modules["redis"] = None
from pipelines.command import ConfigError
from pipelines.events_bus import events_bus
events_bus({{"events_bus": {SQLITE!r}}})
try:
    events_bus({{"events_bus": {REDIS!r}}})
except ConfigError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == (
        "events_bus: kind redis needs the package redis: pip install 'assay[redis]'\n"
    )
