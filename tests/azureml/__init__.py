"""A loopback emulator of Azure Machine Learning: what the service answers, with nothing patched in the client."""
