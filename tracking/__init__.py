"""Mirrors training runs to MLflow behind a narrow interface; local records stay the truth."""
