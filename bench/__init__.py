"""Measurements of heyfleet beside other load generators, all in one run: `python -m bench`."""
