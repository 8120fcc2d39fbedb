"""What makes a run the run it is, as a digest: the configuration, less what changes no result."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# What decides where results are put, or how fast they come, but not what they are.
PLACES = ("deploy", "execution", "manifest", "name", "output_dir", "tracking")
DATA_PLACES = ("dir", "cache", "cache_max_gb")


def without_places(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that results hang on."""
    kept = {key: value for key, value in conf.items() if key not in PLACES}
    kept["data"] = {key: value for key, value in conf["data"].items() if key not in DATA_PLACES}
    return kept


def digest(value: Any) -> str:
    """Return the SHA-256, in hexadecimal, of anything that JSON can hold."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
