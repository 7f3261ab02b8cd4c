"""Two runs or more side by side: what differs, and how sure that is."""
