"""python -m heyfleet"""

from heyfleet.cli import main

main(prog_name="heyfleet")
