"""What makes a run the run it is, as a digest: the configuration, less what changes no result."""

import hashlib
import json
import platform
import sysconfig
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from market.table_cache import code_digest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("augmentation", "market", "models", "pipelines", "selection", "tracking", "training")
# What decides where results are put, or how fast they come, but not what they are.
PLACES = (
    *("deploy", "execution", "manifest", "name", "output_dir", "resume", "tracking"),
    # How a sweep is made decides nothing but what it finds, which ``tuned`` names by its content.
    *("search", "sweep", "tuned"),
)
RUNS = Path("runs")
DIGEST_CHARS = 12
DATA_PLACES = ("dir", "cache", "cache_max_gb")
# What two commands may differ in and still be the same one, started again.
NO_OTHER_WORK = ("execution", "output_dir", "resume", "tuned")


def without_places(conf: Mapping[str, Any], tuned: str | None = None) -> dict[str, Any]:
    """Return the part of a configuration that results hang on.

    ``tuned`` is the digest of what the run takes from a sweep; None where that is nothing.
    """
    return _without(conf, PLACES, tuned)


def default_folder(
    conf: Mapping[str, Any], data_digests: Mapping[str, str | None], tuned: str | None = None
) -> Path:
    """Return where a run of train_all puts its results where it is not told otherwise.

    ``conf`` may be that of a sweep: the answer is then the folder of the run that trains as it does
    by default.
    """
    return RUNS / digest([without_places(conf, tuned), data_digests])[:DIGEST_CHARS]


def identity(
    conf: Mapping[str, Any], data_digests: Mapping[str, str | None], tuned: str | None = None
) -> str:
    """Return the digest of one command's work: its configuration, its data and this code."""
    kept = _without(conf, NO_OTHER_WORK, tuned)
    code = [code_digest(ROOT / package) for package in PACKAGES]
    return digest([kept, data_digests, code, _versions(), platform.python_version()])


def _without(conf: Mapping[str, Any], left_out: Sequence[str], tuned: str | None) -> dict[str, Any]:
    kept = {key: value for key, value in conf.items() if key not in left_out}
    kept["data"] = {key: value for key, value in conf["data"].items() if key not in DATA_PLACES}
    return kept if tuned is None else {**kept, "tuned": tuned}


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
