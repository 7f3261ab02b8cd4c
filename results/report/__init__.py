"""Formats of a summary: hey's text, hey's CSV, and JSON."""
