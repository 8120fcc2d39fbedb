"""Both buses behind one fixture, on a real redis-server and a real file."""

import secrets
from contextlib import ExitStack

import pytest

from live.redis_bus import RedisBus
from live.sqlite_bus import SqliteBus
from tests.servers import redis_server


@pytest.fixture(scope="session")
def redis_of_all():
    """A redis-server for tests that leave it running; each has streams of its own prefix."""
    with redis_server() as server:
        yield server


@pytest.fixture
def redis_alone():
    """A redis-server of one test's own, to stop and to kill."""
    with redis_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def bus_conf(request, tmp_path):
    """What `events_bus` holds for a store that is new, of either kind: section to `opened`."""
    prefix = f"test:{secrets.token_hex(6)}:"
    if request.param == "sqlite":
        return {"kind": "sqlite", "path": str(tmp_path / "events.db"), "prefix": prefix}
    server = request.getfixturevalue("redis_of_all")
    return {"kind": "redis", "url": server.url, "prefix": prefix}


@pytest.fixture
def bus_keys(bus_conf):
    """The same as `bus_conf`, as keys of a command line."""
    keys = [f"events_bus.{key}={value}" for key, value in bus_conf.items() if key != "kind"]
    return [f"events_bus={bus_conf['kind']}", *keys]


@pytest.fixture
def open_bus(bus_conf):
    """Return a new bus on the same store with each call, as another process would have."""
    with ExitStack() as opened:
        conf = {"timeout_s": 5.0} | bus_conf
        make = {"sqlite": SqliteBus, "redis": RedisBus}[conf.pop("kind")]

        def open_another(**changed):
            bus = make(**(conf | changed))
            opened.callback(bus.close)
            return bus

        yield open_another


@pytest.fixture
def bus(open_bus):
    return open_bus()
