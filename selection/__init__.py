"""Deciding which model of each symbol may be deployed, writing that down, and using it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from selection.deployed import DeployedModels
    from selection.deployed_files import DeploymentError
    from selection.json_safe import to_json_safe
    from selection.selector import ModelSelector

__all__ = ["DeployedModels", "DeploymentError", "ModelSelector", "to_json_safe"]

_HOMES: Final = {
    "DeployedModels": "selection.deployed",
    "DeploymentError": "selection.deployed_files",
    "ModelSelector": "selection.selector",
    "to_json_safe": "selection.json_safe",
}


def __getattr__(name: str) -> Any:
    """Return what this package offers; imported when it is asked for, as some of it takes long."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
