"""Settings: every setting once, and how its value is resolved."""
