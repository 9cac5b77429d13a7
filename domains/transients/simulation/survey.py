"""Surveys: which classes in which shares, which cadence and camera, what counts as found; and one object of one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from armillary.core.random import derive_rng
from armillary.domains.transients.simulation.cadence import Visits
from armillary.domains.transients.simulation.host import (
    HostRedshift,
    Position,
    draw_deep_position,
    draw_host_redshift,
    draw_position,
)
from armillary.domains.transients.simulation.observe import Camera, Measured, observe
from armillary.domains.transients.simulation.population import Scene
from armillary.domains.transients.simulation.source import Source

VERSION = 1  # raised whenever the same seed gives other numbers

Draw = Callable[[np.random.Generator, Scene], Source]
Cadence = Callable[[np.random.Generator, float, int], Visits]


@dataclass(frozen=True)
class Population:
    """One class of a survey: its label there, its share, and the model that draws it."""

    label: str
    share: float
    draw: Draw


@dataclass(frozen=True)
class Survey:
    """A survey from `start` (MJD) for `num_years`.

    bands: blue to red; limit: faintest peak magnitude worth drawing; deep_share: objects in deep fields.
    found: whether a measured light curve enters the survey's catalogue.
    """

    name: str
    bands: tuple[str, ...]
    camera: Camera
    cadence: Cadence
    start: float
    num_years: int
    limit: float
    dec_range: tuple[float, float]
    populations: tuple[Population, ...]
    found: Callable[[Measured], bool]
    deep_cadence: Cadence | None = None
    deep_share: float = 0.0

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(population.label for population in self.populations)


@dataclass(frozen=True)
class SimulatedObject:
    """One catalogue entry: truth (label, source), what the survey knows (position, host), and its light curve."""

    index: int
    label: str
    source: Source
    position: Position
    host: HostRedshift
    deep: bool
    measured: Measured


def simulate_object(survey: Survey, seed: int, index: int, label: str | None = None) -> SimulatedObject:
    """Object `index` of a survey: a function of (survey, seed, index) alone, of the given class or a drawn one.

    The class is fixed first; then objects of it are drawn until the survey finds one, as only those are in a catalogue.
    """
    rng = derive_rng(seed, "simulate", survey.name, VERSION, index)
    population = _population(survey, rng, label)
    for _ in range(10_000):
        deep = survey.deep_cadence is not None and rng.uniform() < survey.deep_share
        position = draw_deep_position(rng) if deep else draw_position(rng, survey.dec_range)
        cadence = survey.deep_cadence if deep and survey.deep_cadence else survey.cadence
        visits = cadence(rng, survey.start, survey.num_years)
        source = population.draw(rng, _scene(survey, deep))
        measured = observe(rng, source, visits, survey.camera, position.mwebv)
        if survey.found(measured):
            host = draw_host_redshift(rng, source.redshift)
            return SimulatedObject(index, population.label, source, position, host, deep, measured)
    raise AssertionError(f"{survey.name}: no '{population.label}' was found in 10000 draws; the limit is too faint")


def simulate_objects(
    survey: Survey, seed: int, number: int, labels: Mapping[int, str] | None = None
) -> list[SimulatedObject]:
    """The first `number` objects of a survey; `labels` fixes the class of some of them."""
    chosen = labels or {}
    return [simulate_object(survey, seed, index, chosen.get(index)) for index in range(number)]


def evenly_labelled(survey: Survey, number: int) -> dict[int, str]:
    """Classes in turn, so that a small sample holds all of them."""
    return {index: survey.labels[index % len(survey.labels)] for index in range(number)}


def _population(survey: Survey, rng: np.random.Generator, label: str | None) -> Population:
    shares = np.array([population.share for population in survey.populations])
    drawn = survey.populations[int(rng.choice(len(shares), p=shares / shares.sum()))]
    return drawn if label is None else survey.populations[survey.labels.index(label)]


def _scene(survey: Survey, deep: bool) -> Scene:
    return Scene(survey.start, survey.start + survey.num_years * 365.25, survey.limit + 0.7 * deep)
