"""Bars judged: repaired where that invents nothing, measured, and reported on."""
