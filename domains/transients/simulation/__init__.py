"""Simulated surveys: light-curve models of the known classes, cadences, noise, and the native files of each survey."""

from armillary.domains.transients.simulation.survey import (
    VERSION,
    SimulatedObject,
    Survey,
    simulate_object,
    simulate_objects,
)
from armillary.domains.transients.simulation.surveys import DES, LSST, ZTF

__all__ = ["DES", "LSST", "VERSION", "ZTF", "SimulatedObject", "Survey", "simulate_object", "simulate_objects"]
