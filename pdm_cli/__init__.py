"""Predictive maintenance: from machine telemetry and logs to failure predictions.

The functions of the Python API are imported on first use.
"""

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "detect_anomalies",
    "evaluate",
    "explain",
    "health",
    "predict",
    "preprocess",
    "run",
    "simulate",
    "train",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("pdm_cli.pipeline.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
