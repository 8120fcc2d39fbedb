"""Alerts reach a receiver that takes them, and hold nobody up where none does."""

import json
import logging
import socket
import threading
import time
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.alert_limits import AlertLimits
from live.alerts import KINDS, Alert, NoAlerts
from live.webhook import URL_VARIABLE, Webhook, payload
from pipelines.alerts import alerts
from pipelines.command import ConfigError
from tests.live.receiver import SECRET, receiving

DOWN = Alert("bus_down", "the bus is down")


@pytest.fixture
def receiver():
    with receiving() as one:
        yield one


@contextmanager
def webhook(url, **changed):
    made = Webhook(url=url, **{"every_s": 0.0, "timeout_s": 2.0, "close_s": 2.0} | changed)
    try:
        yield made
    finally:
        made.close()


def test_an_alert_is_posted_as_a_webhook_of_slack_takes_it(receiver):
    with webhook(receiver.url) as made:
        made.send(Alert("drift", "accuracy fell", "EURUSD", {"trades": 80, "share": 0.4123456789}))
    path, kind, body = receiver.bodies.get(timeout=5)
    assert (path, kind) == (f"/services/{SECRET}", "application/json")
    assert body["text"] == "[drift EURUSD] accuracy fell"
    assert body["attachments"] == [
        {
            "fallback": "trades: 80; share: 0.412346",
            "fields": [
                {"title": "trades", "value": "80", "short": True},
                {"title": "share", "value": "0.412346", "short": True},
            ],
        }
    ]


def test_names_from_events_cannot_call_anybody():
    body = payload(Alert("drift", "<!channel> & more", "<@U1>", {"a<b": "x\ny"}), 0)
    assert body["text"] == "[drift &lt;@U1&gt;] &lt;!channel&gt; &amp; more"
    assert body["attachments"][0]["fallback"] == "a&lt;b: x\\ny"


@given(st.text(max_size=3000), st.dictionaries(st.text(), st.text() | st.floats(), max_size=20))
def test_whatever_an_alert_says_can_be_posted(text, facts):
    body = json.dumps(payload(Alert("drift", text, facts=facts), 3)).encode()
    assert json.loads(body)["text"].endswith("(3 more like this since the last one)")
    assert len(json.loads(body).get("attachments", [{"fields": []}])[0]["fields"]) <= 10


def test_one_of_a_kind_and_symbol_in_a_while_and_the_next_tells_of_the_others():
    now_s = 0.0
    limits = AlertLimits(every_s=900.0, per_hour=100, now_s=lambda: now_s)
    eurusd, gbpusd = Alert("drift", "x", "EURUSD"), Alert("drift", "x", "GBPUSD")
    first = [limits.passes(one) for one in (eurusd, eurusd, gbpusd, eurusd, DOWN)]
    assert first == [True, False, True, False, True]
    now_s = 900.0
    assert [limits.passes(one) for one in (eurusd, gbpusd)] == [True, True]
    assert [limits.tell(one) for one in (eurusd, gbpusd, eurusd)] == [2, 0, 0]


def test_no_more_than_so_many_in_any_hour():
    now_s = 0.0
    limits = AlertLimits(every_s=0.0, per_hour=3, now_s=lambda: now_s)
    assert [limits.passes(DOWN) for _ in range(5)] == [True] * 3 + [False] * 2
    now_s = 3599.0
    assert not limits.passes(DOWN)
    now_s = 3600.0
    assert limits.passes(DOWN)
    assert limits.tell(DOWN) == 3


@given(
    st.lists(st.tuples(st.floats(0, 500), st.sampled_from([*"AB", None]), st.booleans())),
    st.floats(0, 1000),
    st.integers(1, 5),
)
def test_every_alert_is_sent_told_of_or_still_held(steps, every_s, per_hour):
    now_s, told, sent = 0.0, 0, []
    limits = AlertLimits(every_s=every_s, per_hour=per_hour, now_s=lambda: now_s)
    for step_s, symbol, arrives in steps:
        now_s += step_s
        alert = Alert("drift", "x", symbol)
        if not limits.passes(alert):
            continue
        more = limits.tell(alert)
        if arrives:
            told += more
            sent.append(now_s)
        else:
            limits.take_back(alert, more)
    held = sum(limits.tell(Alert("drift", "x", symbol)) for symbol in (*"AB", None))
    assert len(sent) + told + held == len(steps)
    assert all(sum(0 <= at - one < 3600.0 for one in sent) <= per_hour for at in sent)


def test_what_could_not_be_sent_is_told_of_by_the_next_one(receiver):
    texts = []
    with webhook(receiver.url) as made:
        for how in ("500", "500", "200", "200"):
            receiver.how = how
            made.send(DOWN)
            texts.append(receiver.bodies.get(timeout=5)[2]["text"])
    assert texts[2:] == [
        "[bus_down] the bus is down (2 more like this since the last one)",
        "[bus_down] the bus is down",
    ]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("500", "it answered 500"),
        ("404", "it answered 404"),
        ("307", "it answered 307"),
        ("hangs", "no answer in time"),
        ("closes", "its answer is no HTTP"),
    ],
)
def test_a_receiver_that_fails_is_told_of_once_and_holds_nobody_up(receiver, caplog, how, said):
    receiver.how = how
    caplog.set_level(logging.INFO)
    with webhook(receiver.url, timeout_s=0.2) as made:
        for kind in KINDS[:3]:
            made.send(Alert(kind, "something happened"))
        receiver.asked.wait(5)
    assert caplog.text.count(f"the webhook cannot be reached ({said})") == 1
    # Not followed: who is redirected to would get what is for the receiver alone.
    assert all("elsewhere" not in path for path, *_ in list(receiver.bodies.queue))
    assert SECRET not in caplog.text


def test_nobody_listening_is_told_of_once(caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with webhook(f"http://127.0.0.1:{taken.getsockname()[1]}/{SECRET}") as made:
            made.send(DOWN)
            made.send(DOWN)
    assert caplog.text.count("connection refused") == 1
    assert "2 were held back or could not be sent" in caplog.text
    assert SECRET not in caplog.text


def test_the_end_waits_no_longer_than_it_may(receiver, caplog):
    receiver.how = "hangs"
    made = Webhook(url=receiver.url, every_s=0.0, timeout_s=30.0, close_s=0.2, most_waiting=2)
    for _ in range(10):
        made.send(DOWN)
    begun_s = time.monotonic()
    made.close()
    assert time.monotonic() - begun_s < 5.0
    made.send(DOWN)
    made.close()
    assert "10 were held back or could not be sent" in caplog.text


def test_alerts_from_many_threads_all_arrive(receiver):
    with webhook(receiver.url, per_hour=1000, most_waiting=1000) as made:
        sending = [
            threading.Thread(target=lambda: [made.send(DOWN) for _ in range(10)]) for _ in range(4)
        ]
        for one in sending:
            one.start()
        for one in sending:
            one.join()
    assert len(receiver.texts()) == 40


def test_the_address_comes_from_the_environment(receiver, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, receiver.url)
    with webhook(None) as made:
        made.send(DOWN)
    assert receiver.texts() == ["[bus_down] the bus is down"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"ftp://example.com/{SECRET}", "url must be like https"),
        (f"https:///{SECRET}", "url must be like https"),
        (f"https://example.com:port{SECRET}/x", "url must be like https"),
        (f"https://me:{SECRET}@example.com/x", "no user and no password"),
        (f"http://example.com/{SECRET}", "url must be https"),
        (f"http://localhost.example.com/{SECRET}", "url must be https"),
        (" ", "url is missing: set the environment variable ASSAY_ALERT_URL"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_and_not_shown(url, said):
    with pytest.raises(ConfigError, match=f"alerts.*{said}") as error:
        alerts({"alerts": {"kind": "webhook", "url": url}})
    assert SECRET not in str(error.value)


def test_plain_http_within_a_network_is_a_choice():
    with webhook("http://example.invalid/x", plain_http=True):
        pass


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"every_s": -1.0}, "alerts.every_s must be at least 0, was -1.0"),
        ({"timeout_s": 0.0}, "alerts.timeout_s must be above 0, was 0.0"),
        ({"per_hour": 0}, "alerts.per_hour must be at least 1, was 0"),
        ({"evry_s": 1.0}, "alerts.evry_s: unknown key, did you mean every_s?"),
    ],
)
def test_keys_that_make_no_sense_are_refused_by_name(changed, said):
    with pytest.raises(ConfigError) as error:
        alerts({"alerts": {"kind": "webhook", "url": "https://example.invalid/x"} | changed})
    assert str(error.value) == said


def test_none_are_sent_by_default():
    made = alerts({"alerts": {"kind": "none"}})
    assert isinstance(made, NoAlerts)
    made.send(DOWN)
    made.close()


def test_a_kind_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match=r"kind must be one of .*, was 'drfit'"):
        Alert("drfit", "x")
