"""Archives: a folder for each run, from which every other output can be made."""
