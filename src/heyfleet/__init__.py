"""hey on a fleet: agents generate HTTP load, a controller merges what they measured into one report."""

__version__ = "0.1.0"
