"""Price files read with the declared settings."""

from pathlib import Path

import yaml

from market.bar_files import BarFiles

DECLARED = Path(__file__).parents[2] / "conf" / "data" / "bars.yaml"


def bar_files(folder, **settings):
    """Return a folder's files as ``data=bars`` opens them, some settings changed."""
    keys = yaml.safe_load(DECLARED.read_text())
    del keys["kind"]
    return BarFiles(**{**keys, "dir": str(folder), **settings})
