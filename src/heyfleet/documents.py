"""Documents of people and strangers: JSON, YAML and CSV, with limits that are checked before their content is used."""
