"""Benchmarks of heyfleet and other load generators, in interleaved runs: `python -m bench`."""
