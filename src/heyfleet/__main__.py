"""python -m heyfleet"""

from heyfleet.cli.main import main

main(prog_name="heyfleet")
