"""Who may take part in a fleet: a CA, certificates with roles, join tokens."""
