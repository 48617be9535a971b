"""Predictive maintenance at the command line: from machine telemetry and logs to warnings of failures."""

__version__ = "0.1.0"
