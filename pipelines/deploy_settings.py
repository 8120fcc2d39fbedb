"""From a composed configuration of deploy, and the words before it, to checked objects."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pipelines.command import BAD_CONFIGURATION, ConfigError, nearest

if TYPE_CHECKING:
    from tracking.tracker import Tracker

USAGE = "verify, promote FROM, rollback [TO], diff [A [B]] or history, then key=value; see --help"
# How many words each takes.
WORDS = {"verify": (0, 0), "promote": (1, 1), "rollback": (0, 1), "diff": (0, 2), "history": (0, 0)}
ASKS = ("--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i")
PUBLIC_KEY = "--public-key"
SCALARS: dict[str, Any] = {
    "manifest": str,
    "name": str,
    "public_key": str | None,
    "reason": str | None,
    "format": Literal["table", "json"],
    "output": str | None,
}


@dataclass(frozen=True, slots=True)
class Order:
    """What stands before the keys: a command, its words and, if it is given so, the public key."""

    command: str = "verify"
    words: tuple[str, ...] = ()
    public_key: str | None = None


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """What `pipelines.deploy` is told."""

    manifest: Path
    public_key: Path | None
    reason: str | None
    tracker: "Tracker"
    format: Literal["table", "json"]
    output: Path | None


def split_arguments(arguments: list[str]) -> tuple[Order, list[str]]:
    """Return what stands before the keys, and the rest as Hydra reads it; exits with 2 otherwise.

    ``--public-key FILE`` says the same as ``public_key=FILE``.
    """
    if any(one in ASKS for one in arguments):
        return Order(), [one for one in arguments if one not in WORDS]
    public_key, others = _taken_out(arguments)
    if not others or others[0] not in WORDS:
        word = others[0] if others else ""
        close = nearest(word, WORDS) if word else ""
        _refuse(f"{word}: no such command{close}" if word else f"expected {USAGE}")
    command, *rest = others
    words = [one for one in rest if _is_word(one)]
    least, most = WORDS[command]
    if not least <= len(words) <= most:
        _refuse(f"{command} {' '.join(words)}: expected {USAGE}".replace(" :", ":"))
    return Order(command, tuple(words), public_key), [one for one in rest if not _is_word(one)]


def deploy_settings(conf: Mapping[str, Any], order: Order) -> DeploySettings:
    """Check a composed configuration of deploy; raises ConfigError with one line."""
    from pipelines.typed_conf import chosen, root_values
    from pipelines.writable import writable_file

    values = root_values(conf, SCALARS, group="tracking")
    given = order.public_key if order.public_key is not None else values["public_key"]
    return DeploySettings(
        manifest=Path(values["manifest"]),
        public_key=checked_public_key(given),
        reason=values["reason"],
        tracker=chosen("tracking", conf["tracking"]),
        format=values["format"],
        output=writable_file("output", values["output"]),
    )


def checked_public_key(path: str | None) -> Path | None:
    """Return the key that signatures are checked with; raises ConfigError if it is none."""
    from selection.signing import SigningError, check_public_key

    if path is None:
        return None
    try:
        check_public_key(Path(path))
    except SigningError as error:
        raise ConfigError(f"public_key: {error}") from error
    return Path(path)


def _taken_out(arguments: list[str]) -> tuple[str | None, list[str]]:
    public_key, others = None, list(arguments)
    for n, one in enumerate(others):
        if one.startswith(f"{PUBLIC_KEY}="):
            public_key, others[n : n + 1] = one.partition("=")[2], []
            break
        if one == PUBLIC_KEY:
            if n + 1 == len(others):
                _refuse(f"{PUBLIC_KEY}: expected the path of a key after it")
            public_key, others[n : n + 2] = others[n + 1], []
            break
    return public_key, others


def _is_word(argument: str) -> bool:
    """Tell a word from a key with its value, of which a path may look like one."""
    return argument[:1] not in ("-", "~") and ("=" not in argument or Path(argument).exists())


def _refuse(finding: str) -> NoReturn:
    print(f"configuration error: {finding}", file=sys.stderr)
    sys.exit(BAD_CONFIGURATION)
