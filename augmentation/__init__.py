"""Synthetic training rows for symbols with little data."""

from augmentation.augmenter import AugmentationWarning, DataAugmenter

__all__ = ["AugmentationWarning", "DataAugmenter"]
