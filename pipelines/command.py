"""Runs a Hydra-configured command: one line per configuration error, documented exit codes."""

import difflib
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

LISTED = 20
CONF = Path(__file__).resolve().parents[1] / "conf"

MOST_LISTED = 24

ALL_TRAINED = 0
NOTHING_TRAINED = 1
BAD_CONFIGURATION = 2
SOME_FAILED = 3
INTERRUPTED = 130


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is one line naming the key."""


def run_command(config_name: str, body: Callable[[dict[str, Any]], int]) -> NoReturn:
    """Compose the configuration from the command line, run ``body`` on it, exit with its code.

    Parameters
    ----------
    config_name : str
        File at the root of ``conf/``, without its ending.
    body : callable
        Gets the resolved configuration as plain containers, returns the exit code. With Hydra's
        multirun it runs once per job, and the worst code is the command's.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    # Hydra hands exceptions over whole instead of printing and exiting itself.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    composed: list[Any] = []

    def compose(conf: DictConfig) -> None:
        composed.append(OmegaConf.to_container(conf, resolve=True, throw_on_missing=False))

    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(compose)()
        worst = max((body(conf) for conf in composed), default=ALL_TRAINED)
    except ConfigError as error:
        _fail(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _fail(explained(str(error)))
    except OSError as error:
        print(f"stopped: {error}", file=sys.stderr)
        sys.exit(NOTHING_TRAINED)
    except KeyboardInterrupt:
        print("interrupted; results that were finished stay in the output folder", file=sys.stderr)
        sys.exit(INTERRUPTED)
    sys.exit(worst)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``, did you mean X?`` for the closest known name; where none is close, list them."""
    names = sorted(known)
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if matches:
        return f", did you mean {matches[0]}?"
    listed = ", ".join(names[:MOST_LISTED]) + (", ..." if len(names) > MOST_LISTED else "")
    return f"; there are: {listed}" if names else ""


def explained(message: str) -> str:
    """Turn Hydra's account of a composition error into one line with the nearest right name."""
    option = re.search(r"Could not find '([\w/]+)/([^/']+)'", message)
    if option:
        group, name = option.groups()
        options = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        return f"{group}={name}: no such option{nearest(name, options)}"
    key = re.search(r"Could not (?:override|delete) '([^']+)'", message)
    if key:
        return _unknown_key(key.group(1))
    several = re.search(r"Ambiguous value for argument '([^=]+)=(.+)'", message)
    if several:
        name, values = several.groups()
        return f"{name}={values}: write a list as {name}=[{values}], or sweep over it with -m"
    first = message.strip().splitlines()[0] if message.strip() else "unreadable configuration"
    return f"{first.rstrip('.')}; see --help"


def _unknown_key(key: str) -> str:
    homes = _keys_by_choice()
    if key in homes:
        return f"{key}: no such key here; it belongs to {' or '.join(homes[key])}"
    known = {*homes, *_root_keys()}
    section = key.rpartition(".")[0]
    siblings = {one for one in known if one.rpartition(".")[0] == section}
    return f"{key}: unknown key{nearest(key, siblings or known)}"


def _keys_by_choice() -> dict[str, list[str]]:
    """Return every key below a group, with the choices (``group=option``) that have it."""
    homes: dict[str, list[str]] = {}
    for path in sorted(CONF.glob("*/*.yaml")):
        group, option = path.parent.name, path.stem
        if group in ("experiment", "debug"):
            continue
        place = {"model": f"models.{option}", "null_model": f"null_models.{option}"}
        choice = f"{group}@{place[group]}" if group in place else group
        homes.setdefault(choice, [])
        for name in _plain(path):
            homes.setdefault(f"{place.get(group, group)}.{name}", []).append(f"{choice}={option}")
    return homes


def _root_keys() -> set[str]:
    keys = {"experiment", "debug"}
    for path in CONF.glob("*.yaml"):
        for name, value in _plain(path).items():
            if name in ("defaults", "hydra"):
                continue
            keys.add(name)
            if isinstance(value, dict):
                keys.update(f"{name}.{inner}" for inner in value)
    return keys


def _plain(path: Path) -> dict[str, Any]:
    import yaml

    return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {})


def _fail(line: str) -> NoReturn:
    print(f"configuration error: {line}", file=sys.stderr)
    sys.exit(BAD_CONFIGURATION)
