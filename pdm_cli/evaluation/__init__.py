"""Model quality: metrics per row and per failure, calibration, alerts, costs, quality gates and drift."""
