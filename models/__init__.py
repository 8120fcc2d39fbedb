"""The models behind one contract, and the monitor that watches them train."""

from models.monitor import TrainingMonitor

__all__ = ["TrainingMonitor"]
