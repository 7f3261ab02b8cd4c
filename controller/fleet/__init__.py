"""A controller's side of a fleet: agents that attach, one run at a time, everything merged."""
