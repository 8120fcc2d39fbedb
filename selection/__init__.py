"""Deciding which model of each symbol may be deployed, writing that down, and using it."""

from selection.deployed import DeployedModels
from selection.deployed_files import DeploymentError
from selection.json_safe import to_json_safe
from selection.selector import ModelSelector

__all__ = ["DeployedModels", "DeploymentError", "ModelSelector", "to_json_safe"]
