"""Azure Machine Learning: submit jobs, wait for them, fetch their results, register models."""
