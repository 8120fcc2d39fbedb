"""Deciding which model of each symbol may be deployed, and writing that down."""

from selection.json_safe import to_json_safe
from selection.selector import ModelSelector

__all__ = ["ModelSelector", "to_json_safe"]
