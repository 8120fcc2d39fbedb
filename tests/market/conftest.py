"""Price files read with the declared settings, and the declared features, events and labels."""

from pathlib import Path

import yaml

from market.bar_files import BarFiles
from market.events import SmcEvents
from market.features.smc import SmcFeatures
from market.kept_files import DTYPES
from market.labels import TripleBarrier

CONF = Path(__file__).parents[2] / "conf"


def declared(name):
    """Return what an option declares, without its kind."""
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    del keys["kind"]
    return keys


def bar_files(folder, **settings):
    """Return a folder's files as ``data=bars`` opens them, some settings changed; none are kept."""
    keys = declared("data/bars") | {"dir": str(folder), "cache": None}
    return BarFiles(**{**keys, **settings})


def definitions(**changes):
    """Return features, events and labels as declared, some of the features' settings changed."""
    return {
        "features": SmcFeatures(**{**declared("features/smc"), **changes}),
        "events": SmcEvents(**declared("events/smc")),
        "labels": TripleBarrier(**declared("labels/triple_barrier")),
    }


def same(one, other):
    """Tell whether two tables are equal to the last bit."""
    return (one.symbol, one.names_F) == (other.symbol, other.names_F) and all(
        same_array(getattr(one, name), getattr(other, name)) for name in DTYPES
    )


def same_array(one, other):
    if one is None or other is None:
        return one is other
    facts = [(each.dtype, each.shape, each.tobytes()) for each in (one, other)]
    return facts[0] == facts[1]
