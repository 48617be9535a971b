"""Comparison of pdm with other tools on many fleets."""
