"""How good predictions are: row metrics, event metrics, calibration, alerts, costs, gates and drift."""
