"""Access to a fleet: a certificate authority, certificates with roles, and join tokens."""
