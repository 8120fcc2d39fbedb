"""What serve is told, and what it refuses before it listens."""

import socket

import pytest

from pipelines.command import ConfigError
from pipelines.serve_settings import serve_settings
from tests.pipelines.conftest import command


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv("ASSAY_API_KEY", raising=False)


def check_only(conf):
    serve_settings(conf)
    return 0


@pytest.fixture
def told(refusal):
    """Compose a command line and return the settings; nothing is served."""

    def settings_of(*arguments):
        taken = []

        def keep(conf):
            taken.append(serve_settings(conf))
            raise ConfigError("looked at")

        refusal(*arguments, name="serve", body=keep)
        return taken[0]

    return settings_of


@pytest.mark.parametrize("host", ["127.0.0.1", "'::1'", "localhost"])
def test_on_loopback_no_key_is_needed(told, host):
    settings = told(f"host={host}")
    assert settings.host == host.strip("'")
    assert settings.api_key is None


@pytest.mark.parametrize("host", ["::", "192.168.1.7", "trading.example"])
def test_without_a_key_no_other_machine_may_ask(refusal, host):
    said = refusal(f"host='{host}'", name="serve", body=check_only)
    assert said.startswith(f"host: {host} can be reached from other machines")
    assert "ASSAY_API_KEY" in said


def test_the_key_of_the_environment_is_taken_and_never_shown(told, monkeypatch):
    monkeypatch.setenv("ASSAY_API_KEY", "very secret")
    settings = told("host=192.168.1.7")
    assert settings.api_key == "very secret"
    assert "very secret" not in repr(settings)


@pytest.mark.parametrize("key", ["", "two\nlines", "schlüssel"])
def test_a_key_that_no_header_can_hold_is_refused(refusal, monkeypatch, key):
    monkeypatch.setenv("ASSAY_API_KEY", key)
    assert refusal(name="serve", body=check_only).startswith("ASSAY_API_KEY must be printable")


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("prot=8000", "prot: unknown key, did you mean port?"),
        ("port=70000", "port must be in [0, 65535], was 70000"),
        ("port=web", "port must be a whole number, was 'web'"),
        ("threads=0", "threads must be at least 1, was 0"),
        ("poll_s=0", "poll_s must be"),
        ("most_body_bytes=10", "most_body_bytes must be at least 1024, was 10"),
        ("public_key=nothing.pub", "public_key: "),
        ("alerts=mail", "alerts=mail: no such option"),
    ],
)
def test_what_cannot_be_served_is_one_line(refusal, argument, said):
    assert refusal(argument, name="serve", body=check_only).startswith(said)


def test_an_address_that_is_taken_ends_it_with_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = command("serve", f"port={port}", cwd=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == f"stopped: 127.0.0.1:{port}: Address already in use\n"
