"""Frozen settings of every part, free of torch."""

from armillary.core.config.run import (
    DistillSettings,
    EvaluateSettings,
    OptimSettings,
    RunConfig,
    StartSettings,
    TrainSettings,
)
from armillary.core.config.settings import Settings

__all__ = [
    "DistillSettings",
    "EvaluateSettings",
    "OptimSettings",
    "RunConfig",
    "Settings",
    "StartSettings",
    "TrainSettings",
]
