"""How many processes each test of kills ends; the environment variable KILLS overrides it (the documentation says 200)."""

from __future__ import annotations

import os

KILLS = int(os.environ.get("KILLS", "12"))
