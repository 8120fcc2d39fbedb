"""What `make eventspeed` measures, on a few events."""

from benchmarks.event_speed import measured


def test_each_bus_is_measured_beside_plain_writes(tmp_path):
    record = measured(tmp_path, n_events=20, rounds=1, wait_s=0.02)
    ways = {(one["bus"], one["what"], one["at_once"]): one for one in record["ways"]}
    assert {("sqlite", "publish", 1), ("sqlite", "consume", 100), ("plain", "write", 1)} <= set(
        ways
    )
    assert all(one["least"] <= one["events_per_second"] <= one["most"] for one in ways.values())
    assert ways["plain", "write", 100]["of_plain"] == 1.0
    assert set(record["cpu_seconds_of_a_minute_waiting"]) >= {"sqlite"}
