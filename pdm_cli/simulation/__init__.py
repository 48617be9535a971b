"""Simulated fleets with known failures."""
