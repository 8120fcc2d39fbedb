"""What makes a run the run it is, as a digest: the configuration, less what changes no result."""

import hashlib
import json
import platform
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from market.table_cache import code_digest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("augmentation", "market", "models", "pipelines", "selection", "tracking", "training")
# What decides where results are put, or how fast they come, but not what they are.
PLACES = ("deploy", "execution", "manifest", "name", "output_dir", "resume", "tracking")
DATA_PLACES = ("dir", "cache", "cache_max_gb")
# What two commands may differ in and still be the same one, started again.
NO_OTHER_WORK = ("execution", "output_dir", "resume")


def without_places(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that results hang on."""
    kept = {key: value for key, value in conf.items() if key not in PLACES}
    kept["data"] = {key: value for key, value in conf["data"].items() if key not in DATA_PLACES}
    return kept


def identity(conf: Mapping[str, Any], data_digests: Mapping[str, str | None]) -> str:
    """Return the digest of one command's work: its configuration, its data and this code."""
    kept = {key: value for key, value in conf.items() if key not in NO_OTHER_WORK}
    kept["data"] = {key: one for key, one in conf["data"].items() if key not in DATA_PLACES}
    code = [code_digest(ROOT / package) for package in PACKAGES]
    return digest([kept, data_digests, code, _versions(), platform.python_version()])


def _versions() -> list[str]:
    """Return every installed distribution with its version, by the names of their folders."""
    installed = Path(sysconfig.get_path("purelib"))
    return sorted(path.name for path in installed.glob("*.dist-info"))


def digest(value: Any) -> str:
    """Return the SHA-256, in hexadecimal, of anything that JSON can hold."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, None where there is none."""
    with suppress(FileNotFoundError):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return None
