"""Who may take part in a fleet: a certificate authority, certificates with roles, and join tokens."""
