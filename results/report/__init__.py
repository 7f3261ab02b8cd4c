"""Reports: the numbers of a summary as text, as CSV and as JSON."""
