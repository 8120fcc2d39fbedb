"""Trades the manifest on bars: replay, statistics, report."""
