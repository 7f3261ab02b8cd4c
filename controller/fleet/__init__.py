"""The controller's side of a fleet: agents attach to it, carry out one run at a time, and stream their results."""
