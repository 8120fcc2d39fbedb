"""The key of the prediction service: what it asks for, and those who ask it send."""

import os
from typing import Final

API_KEY: Final = "ASSAY_API_KEY"


def api_key() -> str | None:
    """Return the key of the environment, as it stands there."""
    return os.environ.get(API_KEY)
