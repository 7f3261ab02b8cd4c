"""Errors of the benchmarks."""


class BenchError(Exception):
    """Signal that a measurement is not possible; the text has the cause and the cure."""
