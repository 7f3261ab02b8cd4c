"""The declarations of all options of `heyfleet run`, one class for each section of the help."""
