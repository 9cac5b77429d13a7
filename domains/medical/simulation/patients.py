"""Simulated people and their visits: whose chest is filmed, how, and what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from armillary.core.random import derive_rng

FINDINGS = ("Opacity", "Nodule", "Effusion", "Pneumothorax", "Cardiomegaly")
View = Literal["PA", "AP"]
_SHARES = (0.30, 0.25, 0.25, 0.18, 0.25)  # of the people who have each finding
_STAYS, _COMES = 0.85, 0.04  # chance that a film shows a finding of its patient, or another one
_SICK_IN_BED = 0.2  # added to the chance of AP by every finding


@dataclass(frozen=True)
class Patient:
    """Anatomy that all films of a person share; lengths at the patient [mm].

    half_width_mm, length_mm: of the lungs; depth_mm: of the trunk from front to back; heart: its width over that of
    the chest; bone: mineral relative to a young adult; ailments: findings that the person tends to have.
    """

    number: int
    sex: Literal["F", "M"]
    age_years: int
    half_width_mm: float
    length_mm: float
    depth_mm: float
    wall_mm: float
    heart: float
    heart_tilt_deg: float
    bone: float
    breast: float
    rib_step_mm: float
    ailments: frozenset[str]


@dataclass(frozen=True)
class Visit:
    """One film of a person: how it was taken, and what is to be seen on it.

    age_years: of the person that day; breath: how far the diaphragm is down, 0 to 1; magnification: at the detector;
    photons: quanta a pixel in the open field.
    """

    patient: Patient
    number: int
    age_years: int
    view: View
    breath: float
    magnification: float
    turn_deg: float
    shift_mm: tuple[float, float]
    photons: float
    findings: frozenset[str]


def draw_patient(seed: int, number: int) -> Patient:
    """The person of that number, a function of (seed, number) alone."""
    rng = derive_rng(seed, "patient", number)
    sex = "F" if rng.random() < 0.45 else "M"
    build = (0.92 if sex == "F" else 1.0) * float(np.clip(rng.normal(1.0, 0.05), 0.88, 1.13))
    age = int(np.clip(rng.normal(56, 16), 19, 92))
    ailments = frozenset(name for name, share in zip(FINDINGS, _SHARES, strict=True) if rng.random() < share)
    large = "Cardiomegaly" in ailments
    return Patient(
        number=number,
        sex=sex,
        age_years=age,
        half_width_mm=136 * build,
        length_mm=250 * build * float(np.clip(rng.normal(1, 0.04), 0.9, 1.1)),
        depth_mm=215 * build * float(rng.uniform(0.92, 1.12)),
        wall_mm=float(rng.uniform(20, 38)),
        heart=float(rng.uniform(0.55, 0.66) if large else rng.uniform(0.40, 0.485)),
        heart_tilt_deg=float(rng.uniform(24, 44)),
        bone=float(np.clip(1.1 - 0.005 * (age - 40) - 0.08 * (sex == "F"), 0.7, 1.1)),
        breast=float(rng.uniform(0.4, 1.0)) if sex == "F" else 0.0,
        rib_step_mm=22.5 * build,
        ailments=ailments,
    )


def draw_visit(seed: int, patient: Patient, number: int) -> Visit:
    """A film of the patient, a function of (seed, patient, number) alone.

    Sick people are filmed in bed more often (AP): magnified, turned, breathing out, with less light.
    """
    rng = derive_rng(seed, "visit", patient.number, number)
    tends = {name: name in patient.ailments for name in FINDINGS if name != "Cardiomegaly"}
    findings = {name for name, there in tends.items() if rng.random() < (_STAYS if there else _COMES)}
    # A heart stays large: the anatomy has it.
    findings |= patient.ailments & {"Cardiomegaly"}
    bed = rng.random() < min(0.15 + _SICK_IN_BED * len(findings), 0.8)
    return Visit(
        patient=patient,
        number=number,
        age_years=patient.age_years + number // 2,
        view="AP" if bed else "PA",
        breath=float(rng.uniform(0.1, 0.7) if bed else rng.uniform(0.6, 1.0)),
        magnification=float(rng.uniform(1.10, 1.18) if bed else rng.uniform(1.03, 1.07)),
        turn_deg=float(rng.normal(0, 4.0 if bed else 1.2)),
        shift_mm=(float(rng.normal(0, 8)), float(rng.normal(0, 9))),
        photons=float(np.exp(rng.normal(np.log(12_000 if bed else 30_000), 0.35))),
        findings=frozenset(findings),
    )


def visits(seed: int, num_patients: int) -> Iterator[Visit]:
    """One to four films of each of the first patients, in their order."""
    for number in range(num_patients):
        patient = draw_patient(seed, number)
        films = int(derive_rng(seed, "films", number).integers(1, 5))
        yield from (draw_visit(seed, patient, film) for film in range(films))
