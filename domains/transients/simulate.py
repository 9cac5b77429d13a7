"""`simulate`: the files of a simulated survey, or the small twin of a real one, in the survey's native format.

Object i of a seed depends on the seed and i alone, whatever the number of objects; the same call gives the same bytes.
"""

from dataclasses import replace
from pathlib import Path

from armillary.core.domain import Size
from armillary.core.simulations import Simulation, Simulations
from armillary.domains.transients.simulation.survey import VERSION, Survey, evenly_labelled, simulate_objects
from armillary.domains.transients.simulation.surveys import DES, LSST, ZTF
from armillary.domains.transients.simulation.write_plasticc import (
    FIRST_ID,
    write_kaggle,
    write_zenodo,
    write_zenodo_metadata,
)
from armillary.domains.transients.simulation.write_spcc import write_spcc
from armillary.domains.transients.simulation.write_ztf import write_bts, ztf_name


def _write_simulated_lsst(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    twin = size == "twin"
    number = 5 * len(LSST.labels) + 1 if twin else 3000
    items = simulate_objects(_small(LSST) if twin else LSST, seed, number, _labels(LSST, number, twin))
    broken = FIRST_ID + number - 1 if twin else None
    write_kaggle(items, folder / "training_set.csv.gz", folder / "training_set_metadata.csv", broken)
    return number, None if broken is None else str(broken)


def _write_simulated_ztf(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    twin = size == "twin"
    number = 61 if twin else 3000
    items = simulate_objects(ZTF, seed, number, _labels(ZTF, number, twin))
    write_bts(items, folder, number - 1 if twin else None)
    return number, ztf_name(number - 1) if twin else None


def _write_plasticc(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """The files of the small genuine pieces: Kaggle dialect for a training sample, Zenodo dialect for a test sample."""
    number, zenodo = 3 * len(LSST.labels) + 1, 15
    items = simulate_objects(
        _small(LSST), seed, number + zenodo, _labels(LSST, number, True) | _test_labels(number, zenodo)
    )
    kaggle, test = items[:number], items[number:]
    broken = FIRST_ID + number - 1
    write_kaggle(kaggle, folder / "training_set_sample10.csv.gz", folder / "training_set_metadata_sample10.csv", broken)
    write_zenodo_metadata(kaggle, folder / "plasticc_train_metadata.csv.gz")
    write_zenodo(
        test,
        folder / "plasticc_test_sniabcii_relmjd.csv.gz",
        folder / "plasticc_test_sniabcii_metadata.csv",
        relative_time=True,
    )
    return number + zenodo, str(broken)


def _write_spcc(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """A spectroscopic sample that is brighter than the photometric one, as in the challenge."""
    spectra, photometry = 16, 49
    bright = replace(DES, limit=DES.limit - 1.2)
    labels = evenly_labelled(DES, spectra + photometry)
    spectroscopic = simulate_objects(bright, seed, spectra, labels)
    photometric = simulate_objects(DES, seed, spectra + photometry, labels)[spectra:]
    broken = 100_000 + photometric[-1].index
    write_spcc(spectroscopic, photometric, folder, broken)
    return spectra + photometry, str(broken)


def _small(survey: Survey) -> Survey:
    """Without deep fields, whose light curves are three times as long."""
    return replace(survey, deep_share=0.0)


def _labels(survey: Survey, number: int, twin: bool) -> dict[int, str]:
    return evenly_labelled(survey, number) if twin else {}


def _test_labels(first: int, number: int) -> dict[int, str]:
    return {first + place: ("42", "62", "90")[place % 3] for place in range(number)}


# 'default': 3,000 objects of a simulated survey in seconds. 'twin': a few dozen, below 200 kB, one broken on purpose.
simulate = Simulations(
    "transients",
    VERSION,
    {
        "simulated_lsst": Simulation(_write_simulated_lsst, ("default", "twin")),
        "simulated_ztf": Simulation(_write_simulated_ztf, ("default", "twin")),
        "plasticc": Simulation(_write_plasticc, ("twin",)),
        "spcc": Simulation(_write_spcc, ("twin",)),
        "ztf_bts": Simulation(_write_simulated_ztf, ("twin",)),
    },
)
