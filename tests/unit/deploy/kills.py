"""How often a deployer is killed by each test of that: KILLS=200 in the environment for as many as the documents say."""

from __future__ import annotations

import os

KILLS = int(os.environ.get("KILLS", "12"))
