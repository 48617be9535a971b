"""The pipeline: the stages from raw tables to predictions, on folders."""
