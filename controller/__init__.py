"""Plans a run, has an agent execute it, merges what was measured and reports it once."""
