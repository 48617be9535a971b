"""The groups in which ``--help`` shows options."""

DATA_PANEL = "Data"
MODEL_PANEL = "Model"
AZURE_PANEL = "Azure"
OUTPUT_PANEL = "Output"
