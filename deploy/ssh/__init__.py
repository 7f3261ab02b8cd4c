"""The provider that launches agents on hosts reached by ssh."""
