"""Synthetic training rows for symbols with little data."""

from augmentation.augmenter import AugmentationWarning, DataAugmenter, NotAugmentedWarning

__all__ = ["AugmentationWarning", "DataAugmenter", "NotAugmentedWarning"]
