"""The kills of `make eventchaos` in small."""

import shutil

import pytest

from benchmarks.event_chaos import run
from tests.servers import skip_or_fail


@pytest.mark.parametrize("backing", ["redis", "sqlite"])
def test_every_trade_is_recorded_once_whatever_is_killed(tmp_path, backing):
    if backing == "redis" and shutil.which("redis-server") is None:
        skip_or_fail("redis-server is not installed (Debian: redis-server)")
    outcome = run(tmp_path, backing, seed=5, n_trades=300, n_kills=2)
    assert outcome.is_right
    assert (outcome.recorded, outcome.lost, outcome.duplicates, outcome.differing) == (300, 0, 0, 0)
    assert outcome.published == 300 + outcome.absorbed
    assert outcome.trimmed > 0
    killed = {name: sum(phases.values()) for name, phases in outcome.phases.items()}
    assert killed == dict.fromkeys(killed, 2)
    assert len(killed) == (3 if backing == "redis" else 2)
