"""Typed face of the native engine."""

ERROR_NAMES: tuple[str, ...]
