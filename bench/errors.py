"""The one error that the benchmarks end with."""


class BenchError(Exception):
    """A measurement is not possible; the text says why and what helps."""
