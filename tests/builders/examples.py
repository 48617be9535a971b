"""How many examples hypothesis tries: 25, or 1,000 with the profile ``nightly``."""

from __future__ import annotations

from hypothesis import settings

# For tests in which one example takes long.
FEW = settings().max_examples // 4
