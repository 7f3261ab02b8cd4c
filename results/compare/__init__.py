"""Comparison of measurements: archived runs, and the files of other tools."""
