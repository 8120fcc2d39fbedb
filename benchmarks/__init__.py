"""Measurements on simulated data whose truth is known; no command of the pipeline needs them."""
