"""A run as a folder: written while it goes on, read by whoever comes later."""
