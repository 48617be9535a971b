"""Anomaly detection: Seasonal Hybrid ESD, batch and causal."""
