"""What every bus does, tried on each of them."""

import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

STREAM, GROUP = "trade.closed", "recorder"


def events(n, start=0):
    return [{"order_id": f"o{i}", "entry_price": repr(1.1 + i)} for i in range(start, start + n)]


def names(deliveries):
    return [one.fields[b"order_id"].decode() for one in deliveries]


def take(bus, consumer="a", group=GROUP, *, most=100, wait_s=0.0):
    return bus.take(STREAM, group, consumer, most=most, wait_s=wait_s)


def reclaim(bus, consumer="a", group=GROUP, *, idle_s=0.0, most=100):
    return bus.reclaim(STREAM, group, consumer, idle_s=idle_s, most=most)


def ids_of(deliveries):
    return [one.id for one in deliveries]


def test_events_come_as_they_were_published_in_order_and_once(bus):
    ids = bus.publish(STREAM, events(2)) + bus.publish(STREAM, events(1, start=2))
    assert len(set(ids)) == 3
    taken = take(bus)
    assert ids_of(taken) == ids
    assert names(taken) == ["o0", "o1", "o2"]
    assert taken[0].fields == {b"order_id": b"o0", b"entry_price": b"1.1"}
    assert {(one.stream, one.deliveries) for one in taken} == {(STREAM, 1)}
    assert take(bus) == []


def test_what_was_published_is_there_for_another_process(bus, open_bus):
    ids = bus.publish(STREAM, events(3))
    bus.close()
    assert ids_of(take(open_bus())) == ids


def test_every_group_is_given_every_event_from_the_oldest_on(bus):
    ids = bus.publish(STREAM, events(3))
    assert ids_of(take(bus, group="first")) == ids
    ids += bus.publish(STREAM, events(1, start=3))
    assert ids_of(take(bus, group="later")) == ids
    assert ids_of(take(bus, group="first")) == ids[3:]


def test_consumers_of_a_group_share_its_events(bus, open_bus):
    ids = bus.publish(STREAM, events(5))
    first, second = take(bus, "a", most=2), take(open_bus(), "b", most=2)
    assert ids_of(first) + ids_of(second) + ids_of(take(bus, "a")) == ids


def test_streams_and_prefixes_are_apart(bus, open_bus):
    bus.publish(STREAM, events(1))
    assert bus.take("harvest.intent", GROUP, "a", most=9, wait_s=0.0) == []
    assert take(open_bus(prefix="another:")) == []
    assert len(take(bus)) == 1


def test_nothing_is_published_of_a_batch_with_an_event_that_is_none(bus):
    for none in ({}, {"price": 1.1}, {"price": "\ud800"}, {b"price": "1.1"}):
        with pytest.raises(ValueError, match=r"must (be text|have at least one field)"):
            bus.publish(STREAM, [*events(1), none])
    assert bus.publish(STREAM, []) == []
    assert bus.state(STREAM).length == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(), min_size=1, max_size=4))
def test_any_text_comes_as_it_was(bus, event):
    try:
        written = {name.encode(): value.encode() for name, value in event.items()}
    except UnicodeEncodeError:
        with pytest.raises(ValueError, match="must be text of UTF-8"):
            bus.publish(STREAM, [event])
        return
    bus.publish(STREAM, [event])
    assert [one.fields for one in take(bus)] == [written]


def test_a_consumer_that_waits_is_woken_by_the_next_event(bus, open_bus):
    found, another = [], open_bus()
    waiting = threading.Thread(target=lambda: found.extend(take(another, wait_s=30.0)))
    waiting.start()
    while GROUP not in bus.state(STREAM).groups:
        time.sleep(0.01)
    ids = bus.publish(STREAM, events(1))
    waiting.join()
    assert ids_of(found) == ids


def test_what_was_not_acknowledged_comes_again_to_its_own_consumer_alone(bus, open_bus):
    bus.publish(STREAM, events(3))
    taken = take(bus, "a")
    bus.acknowledge(STREAM, GROUP, ids_of(taken)[:1])
    restarted = open_bus()
    assert reclaim(restarted, "b") == []
    again = reclaim(restarted, "a")
    assert names(again) == ["o1", "o2"]
    assert [one.deliveries for one in again] == [2, 2]
    assert names(reclaim(restarted, "a", most=1)) == ["o1"]
    assert [one.deliveries for one in reclaim(restarted, "a")] == [4, 3]


def test_what_a_dead_consumer_left_goes_to_another_that_asks_late_enough(bus):
    bus.publish(STREAM, events(5))
    taken = take(bus, "dead")
    assert reclaim(bus, "b", idle_s=3600.0) == []
    time.sleep(0.01)
    assert names(reclaim(bus, "b", idle_s=0.005, most=3)) == ["o0", "o1", "o2"]
    assert names(reclaim(bus, "dead")) == ["o3", "o4"]
    assert names(reclaim(bus, "b")) == ["o0", "o1", "o2"]
    bus.acknowledge(STREAM, GROUP, ids_of(taken))
    time.sleep(0.01)
    assert reclaim(bus, "b", idle_s=0.005) == []


def test_acknowledging_twice_or_what_is_unknown_is_nothing(bus):
    ids = bus.publish(STREAM, events(2))
    bus.acknowledge(STREAM, "nobody", ids)
    take(bus)
    bus.acknowledge(STREAM, GROUP, [])
    for _ in range(2):
        bus.acknowledge(STREAM, GROUP, ids)
    assert reclaim(bus) == []
    assert bus.state(STREAM).groups[GROUP].pending == 0


def test_a_trim_keeps_the_newest(bus):
    ids = bus.publish(STREAM, events(10))
    bus.acknowledge(STREAM, GROUP, ids_of(take(bus)))
    assert bus.trim(STREAM, keep=4) == 6
    assert bus.trim(STREAM, keep=4) == 0
    state = bus.state(STREAM)
    assert (state.length, state.first, state.last) == (4, ids[6], ids[9])
    assert bus.trim(STREAM, keep=0) == 4
    assert take(bus) == []
    assert bus.publish(STREAM, events(1))[0] not in ids


def test_a_trim_ends_before_what_is_pending_in_any_group(bus):
    ids = bus.publish(STREAM, events(10))
    take(bus, group="slow", most=3)
    bus.acknowledge(STREAM, "slow", ids[:2])
    bus.acknowledge(STREAM, GROUP, ids_of(take(bus)))
    assert bus.trim(STREAM, keep=0) == 2
    assert bus.state(STREAM).first == ids[2]
    assert names(reclaim(bus, group="slow")) == ["o2"]


def test_a_trim_ends_before_what_a_group_was_not_given(bus):
    bus.publish(STREAM, events(10))
    bus.acknowledge(STREAM, "slow", ids_of(take(bus, group="slow", most=3)))
    bus.acknowledge(STREAM, GROUP, ids_of(take(bus)))
    assert bus.trim(STREAM, keep=2) == 3
    assert names(take(bus, group="slow")) == [f"o{i}" for i in range(3, 10)]


def test_a_stream_that_nobody_has_read_is_trimmed_only_where_that_is_said(bus):
    bus.publish(STREAM, events(10))
    assert bus.trim(STREAM, keep=1) == 0
    assert bus.trim(STREAM, keep=4, without_group=True) == 6
    assert bus.trim(STREAM, keep=0, without_group=True) == 4
    assert bus.trim("never.published", keep=0, without_group=True) == 0


def test_more_than_one_step_of_a_trim_leaves_what_is_to_be_kept(bus):
    bus.publish(STREAM, events(2_500))
    assert bus.trim(STREAM, keep=100, without_group=True) == 2_400
    assert names(take(bus, most=1)) == ["o2400"]


def test_a_stream_tells_how_far_its_groups_are(bus):
    assert bus.state(STREAM).length == 0
    assert not bus.state(STREAM).groups
    ids = bus.publish(STREAM, events(5))
    take(bus, group="a", most=3)
    bus.acknowledge(STREAM, "a", ids[:1])
    bus.acknowledge(STREAM, "b", ids_of(take(bus, group="b")))
    of = bus.state(STREAM).groups
    assert (of["a"].pending, of["a"].undelivered, of["a"].lowest_pending) == (2, 2, ids[1])
    assert (of["b"].pending, of["b"].undelivered, of["b"].lowest_pending) == (0, 0, None)
    bus.trim(STREAM, keep=0)
    assert bus.state(STREAM).groups["a"].undelivered == 2


def test_threads_share_one_bus(bus):
    ids, found = [], []

    def publish(number):
        for i in range(20):
            ids.extend(bus.publish(STREAM, events(1, start=100 * number + i)))

    def consume(number):
        while len(found) < 60:
            taken = take(bus, f"c{number}", most=3, wait_s=0.05)
            bus.acknowledge(STREAM, GROUP, ids_of(taken))
            found.extend(ids_of(taken))

    threads = [threading.Thread(target=publish, args=(i,)) for i in range(3)]
    threads += [threading.Thread(target=consume, args=(i,)) for i in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(found) == sorted(ids)


def test_a_bus_that_was_closed_is_opened_by_the_next_call(bus):
    bus.publish(STREAM, events(1))
    bus.close()
    bus.close()
    assert names(take(bus)) == ["o0"]


@pytest.mark.parametrize(
    "call",
    [
        lambda bus: take(bus, most=0),
        lambda bus: take(bus, wait_s=-1.0),
        lambda bus: take(bus, wait_s=float("inf")),
        lambda bus: reclaim(bus, most=0),
        lambda bus: reclaim(bus, idle_s=float("nan")),
        lambda bus: bus.trim(STREAM, keep=-1),
    ],
)
def test_a_number_without_a_sense_is_refused(bus, call):
    with pytest.raises(ValueError, match="must be at least"):
        call(bus)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 4)),
        st.tuples(st.just("take"), st.sampled_from("AB"), st.integers(1, 4)),
        st.tuples(st.just("reclaim"), st.sampled_from("AB"), st.integers(1, 4)),
        st.tuples(st.just("acknowledge"), st.sampled_from("AB"), st.integers(0, 3)),
        st.tuples(st.just("trim"), st.integers(0, 5)),
    ),
    max_size=25,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(STEPS)
def test_no_order_of_calls_loses_an_event_or_gives_it_to_a_group_as_new_twice(open_bus, steps):
    bus = open_bus(prefix=f"{time.monotonic_ns()}:")
    published, seen, open_ids = [], {}, {}
    for name, *given_ in steps:
        if name == "publish":
            published += bus.publish(STREAM, events(given_[0]))
        elif name == "take":
            group, most = given_
            # A group that is made now begins with what trims have left.
            start = bus.state(STREAM).first if group not in seen else None
            before = seen.setdefault(group, published[: published.index(start)] if start else [])
            taken = ids_of(take(bus, group=group, most=most))
            assert taken == published[len(before) : len(before) + most]
            seen[group] = before + taken
            open_ids[group] = open_ids.get(group, []) + taken
        elif name == "reclaim":
            group, most = given_
            assert ids_of(reclaim(bus, group=group, most=most)) == open_ids.get(group, [])[:most]
        elif name == "acknowledge":
            group, n = given_
            bus.acknowledge(STREAM, group, open_ids.get(group, [])[:n])
            open_ids[group] = open_ids.get(group, [])[n:]
        else:
            bus.trim(STREAM, keep=given_[0])
    for group, before in seen.items():
        assert ids_of(take(bus, group=group)) == published[len(before) :]
        assert set(open_ids.get(group, [])) <= set(ids_of(reclaim(bus, group=group, most=1000)))
