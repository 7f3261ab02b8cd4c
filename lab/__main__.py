"""`python -m heyfleet.lab`."""

from heyfleet.lab.cli import lab

lab(prog_name="heyfleet lab")
