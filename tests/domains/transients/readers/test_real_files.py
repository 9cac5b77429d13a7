"""The counts that the real datasets' own descriptions state."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.real


def counts(curves: Any) -> dict[str, int]:
    return dict(Counter(curves.label.tolist()))


@pytest.fixture
def transients(data_root: Path) -> Path:
    folder = data_root / "transients"
    if not folder.is_dir():
        pytest.skip("no transients below ARMILLARY_DATA")
    return folder


def test_the_spectroscopic_sample_of_spcc(transients: Path, outcome: Any) -> None:
    result = outcome([transients / "spcc" / "spectro_train.tar.xz"])
    curves = result.curves
    assert len(curves) == 1103
    expected = {"Ia": 559, "II": 329, "Ib": 71, "Ic": 58, "IIn": 55, "IIL": 11, "Ibc": 15, "IIP": 5}
    assert counts(curves) == expected
    assert len(result.errors) == 1
    assert "DES_SN396420.DAT" in str(result.errors[0])
    assert "20 of 88" in str(result.errors[0])
    place = curves.object_id.tolist().index("396420")
    assert curves.row_size[place] == 68
    assert "des_z" not in {curves.band[i] for i in curves.band_index[curves.rows(place)]}
    assert np.isfinite(curves.redshift_spec).all()
    assert np.isfinite(curves.redshift).all()
    assert not np.array_equal(curves.redshift, curves.redshift_spec)


@pytest.mark.slow
def test_the_photometric_sample_of_spcc(transients: Path, outcome: Any) -> None:
    result = outcome([transients / "spcc" / "photo_subset.tar.xz"])
    curves = result.curves
    assert result.errors == []
    assert len(curves) == 15161
    assert counts(curves) == {
        "Ia": 3397, "II": 8774, "Ib": 1025, "Ic": 784, "IIn": 550, "IIL": 310, "Ibc": 183, "IIP": 138,
    }  # fmt: skip
    assert (curves.row_size.min(), curves.row_size.max()) == (16, 161)
    assert np.isnan(curves.redshift_spec).all()


def test_the_bright_transient_survey(transients: Path, outcome: Any) -> None:
    curves = outcome([transients / "ztf_bts"]).curves
    assert len(curves) == 2178
    assert curves.attrs["repeated_rows"] == 161
    found = counts(curves)
    assert [found[name] for name in ("SN Ia", "SN II", "SN Ic", "TDE", "nova", "SN Ib-pec")] == [
        1528,
        276,
        56,
        8,
        14,
        1,
    ]
    assert curves.row_size.max() <= 270
    assert np.isnan(curves.redshift).all()
    assert np.isfinite(curves.ra).all()


def test_ten_training_objects_of_plasticc(transients: Path, outcome: Any) -> None:
    curves = outcome([transients / "plasticc" / "training_set_sample10.csv.gz"]).curves
    assert curves.object_id.tolist() == ["615", "713", "730", "745", "1124", "1227", "1598", "1632", "1920", "1926"]
    assert len(curves.time) == 3279
    assert curves.redshift[0] == 0
    assert curves.time_reference == "MJD"
    assert curves.label[0] == "92"
    np.testing.assert_allclose(curves.redshift[1], 1.6267, rtol=1e-6)


def test_seventy_two_objects_of_plasticc_in_zenodo_layout(transients: Path, outcome: Any) -> None:
    curves = outcome([transients / "plasticc" / "plasticc_test_sniabcii_relmjd.csv.gz"]).curves
    assert len(curves) == 72
    assert len(curves.time) == 13335
    assert counts(curves) == {"42": 24, "62": 24, "90": 24}
    assert curves.time_reference == "days since first observation"
    assert (curves.time[curves.offsets[:-1]] == 0).all()


def test_the_whole_folder_of_plasticc_gives_the_same_objects_from_either_metadata_table(
    transients: Path, outcome: Any
) -> None:
    folder = transients / "plasticc"
    table = folder / "training_set_sample10.csv.gz"
    kaggle = outcome([table]).curves
    zenodo = outcome([table, folder / "plasticc_train_metadata.csv.gz"]).curves
    np.testing.assert_allclose(kaggle.ra, zenodo.ra, atol=1e-4)
    np.testing.assert_allclose(kaggle.redshift, zenodo.redshift, atol=1e-3)
    assert kaggle.label.tolist() == zenodo.label.tolist()
