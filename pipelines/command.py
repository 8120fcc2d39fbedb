"""Runs a Hydra-configured command: one line per configuration error, documented exit codes."""

import difflib
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from pipelines.own_settings import unusable_settings, yaml_finding
from tracking.failures import without_password

CONF = Path(__file__).resolve().parents[1] / "conf"
# Groups whose options set keys anywhere.
PRESETS = ("experiment", "debug", "preset")
MOST_LISTED = 24

ALL_TRAINED = 0
NOTHING_TRAINED = 1
BAD_CONFIGURATION = 2
SOME_FAILED = 3
INTERRUPTED = 130


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is one line naming the key."""


def run_command(
    config_name: str, body: Callable[[dict[str, Any]], int], *, go_on: str = ""
) -> NoReturn:
    """Compose the configuration from the command line, run ``body`` on it, exit with its code.

    Parameters
    ----------
    config_name : str
        File at the root of ``conf/``, without its ending.
    body : callable
        Gets the resolved configuration as plain containers, returns the exit code. With Hydra's
        multirun it runs once per job, and the worst code is the command's.
    go_on : str
        How to go on with a command that was interrupted, or stopped for want of room.
    """
    # Asked to end, a command cleans up as it does after Ctrl-C: no process of its own is left.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        worst, jobs = ALL_TRAINED, _composed(config_name)
        for number, (overrides, conf) in enumerate(jobs, start=1):
            if len(jobs) > 1:
                print(f"job {number} of {len(jobs)}: {without_password(overrides)}", flush=True)
            worst = max(worst, body(conf))
    except ConfigError as error:
        print(f"configuration error: {error}", file=sys.stderr)
        sys.exit(BAD_CONFIGURATION)
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        print(f"stopped: {named}{error.strerror or error}{go_on}", file=sys.stderr)
        sys.exit(NOTHING_TRAINED)
    except KeyboardInterrupt:
        print(f"interrupted{go_on}", file=sys.stderr)
        # The interpreter remembers an interrupt that met a library while it ran a text as code, and
        # would end by the signal; running another makes it forget.
        exec("")  # noqa: S102
        sys.exit(INTERRUPTED)
    finally:
        # Or a last collection looks at all that is about to go anyway: two seconds after a run.
        gc.freeze()
    sys.exit(worst)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``, did you mean X?`` for the closest known name; where none is close, list them."""
    names = sorted(known)
    folded = {one.casefold(): one for one in names}
    matches = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if matches:
        return f", did you mean {folded[matches[0]]}?"
    listed = ", ".join(names[:MOST_LISTED]) + (", ..." if len(names) > MOST_LISTED else "")
    return f"; there are: {listed}" if names else ""


def _composed(config_name: str) -> list[tuple[str, dict[str, Any]]]:
    """Return overrides and configuration of each job; one without multirun, none after --help."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException, OverrideParseException
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    # Hydra hands exceptions over whole instead of printing and exiting itself.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    if (unusable := unusable_settings(sys.argv[1:])) is not None:
        raise ConfigError(unusable)
    composed: list[tuple[str, DictConfig]] = []

    def compose(conf: DictConfig) -> None:
        # As they stand: an override may hold an interpolation.
        overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides.task)
        composed.append((" ".join(overrides), conf))

    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=config_name)(compose)()
        # Resolved out here: what is raised in there Hydra announces with lines of its own.
        return [(overrides, _resolved(conf)) for overrides, conf in composed]
    except OverrideParseException as error:
        raise ConfigError(
            f"{without_password(error.override or '')}: cannot be read as key=value; quote a value "
            "with unusual characters, as in 'key=\"value\"'"
        ) from error
    except RecursionError as error:
        raise ConfigError("an argument has too many brackets; see --help") from error
    except YAMLError as error:
        raise ConfigError(yaml_finding(error)) from error
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explained(str(error), config_name, sys.argv[1:])) from error


def _resolved(conf: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain: dict[str, Any] = OmegaConf.to_container(conf, resolve=True)  # type: ignore[assignment]
    return plain


def explained(message: str, config_name: str, arguments: Iterable[str]) -> str:
    """Turn Hydra's account of a composition error into one line with the nearest right name."""
    option = re.search(r"Could not find '([\w/]+)/([^/']+)'", message)
    if option:
        return _no_such_option(option.group(1), option.group(2))
    key = re.search(r"Could not (?:override|delete|delete from config\.) '([^']+)'", message)
    if key:
        return _unknown_key(key.group(1), config_name)
    several = re.search(r"Ambiguous value for argument '([^=]+)=(.+)'", message)
    if several:
        name, values = several.groups()
        return f"{name}={values}: write a list as {name}=[{values}], or sweep over it with -m"
    if "Config group override must be" in message:
        for argument in arguments:
            group, _, value = argument.partition("=")
            folder = CONF / group.partition("@")[0]
            if folder.is_dir() and not (folder / f"{value}.yaml").is_file():
                return _no_such_option(folder.name, value)
    first = message.strip().splitlines()[0] if message.strip() else "unreadable configuration"
    key = re.search(r"full_key: (\S+)", message)
    return f"{key.group(1) + ': ' if key else ''}{first.rstrip('.')}; see --help"


def _no_such_option(group: str, name: str) -> str:
    import hydra

    folders = (CONF, Path(hydra.__file__).parent / "conf")
    options = {path.stem for folder in folders for path in (folder / group).glob("*.yaml")}
    return f"{group}={name}: no such option{nearest(name, options)}"


def _unknown_key(key: str, config_name: str) -> str:
    choices = _choices(config_name)
    if key in choices:
        options = (CONF / choices[key]).glob("*.yaml")
        return f"{key}: must be one of {', '.join(sorted(path.stem for path in options))}"
    homes = _keys_by_choice(choices)
    if key in homes:
        return f"{key}: no such key here; it belongs to {' or '.join(homes[key])}"
    group = key.partition("@")[0].partition(".")[0]
    root_keys = _root_keys(config_name)
    inner = sorted(name for name in root_keys if name.startswith(f"{key}."))
    if key in root_keys and inner:
        return f"{key}: is no choice here; it holds {', '.join(inner)}"
    if (
        group not in root_keys
        and (CONF / group).is_dir()
        and group not in {name.partition("@")[0] for name in choices}
    ):
        commands = [path.stem for path in sorted(CONF.glob("*.yaml")) if path.stem != "run"]
        owners = [one for one in commands if group in set(_choices(one).values())]
        if owners:
            others = " or ".join(f"python -m pipelines.{one}" for one in owners)
            return f"{key}: unknown key; it belongs to {others}"
    placed = {choice.partition("@")[2] or choice for choice in choices}
    known = {*choices, *placed, *homes, *root_keys}
    section = key.rpartition(".")[0]
    siblings = {one for one in known if one.rpartition(".")[0] == section}
    return f"{key}: unknown key{nearest(key, siblings or known)}"


def _choices(config_name: str) -> dict[str, str]:
    """Return what a command lets one choose (``data``, ``model@models.mlp``), and its group."""
    choices: dict[str, str] = {}
    for file in _root_files(config_name):
        entries = file.get("defaults", [])
        names = [name for entry in entries if isinstance(entry, dict) for name in entry]
        own = [name for name in names if not name.startswith("override")]
        choices |= {name: name.partition("@")[0] for name in own}
    return choices


def _keys_by_choice(choices: Mapping[str, str]) -> dict[str, list[str]]:
    """Return every key that a choice brings, with the choices (``group=option``) that have it."""
    homes: dict[str, list[str]] = {}
    for choice, group in choices.items():
        if group in PRESETS:
            continue
        place = choice.partition("@")[2]
        files = [CONF / group / f"{place.rpartition('.')[2]}.yaml"] if place else []
        for path in files or sorted((CONF / group).glob("*.yaml")):
            values = {key: one for key, one in _plain(path).items() if key != "defaults"}
            for name in _with_inner(values):
                homes.setdefault(f"{place or group}.{name}", []).append(f"{choice}={path.stem}")
    return homes


def _with_inner(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of a mapping, each followed by those of a mapping in it."""
    for name, value in values.items():
        yield name
        if isinstance(value, Mapping):
            yield from (f"{name}.{inner}" for inner in value)


def _root_keys(config_name: str) -> set[str]:
    keys: set[str] = set()
    for file in _root_files(config_name):
        for name, value in file.items():
            if name not in ("defaults", "hydra"):
                keys.update(_with_inner({name: value}))
    return keys


def _root_files(config_name: str) -> Iterator[dict[str, Any]]:
    """Yield a command's file and those at the root of ``conf/`` that it is built on."""
    file = _plain(CONF / f"{config_name}.yaml")
    yield file
    for entry in file.get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            yield from _root_files(entry)


def _plain(path: Path) -> dict[str, Any]:
    import yaml

    return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
