"""Features of fabricated light curves whose answer is known."""

from dataclasses import replace

import light_curve
import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM

from armillary.domains.transients.features import cached_features, extract_features
from armillary.domains.transients.features.padded import first_detection, pad_band
from armillary.domains.transients.lightcurves import LightCurves

BANDS = ("des_g", "des_r", "des_i", "des_z")


def _curves(number: int = 6, seed: int = 0, rows: int = 40) -> LightCurves:
    """Triangles of height 100 FLUXCAL about day 30 in all bands, taken in turn, with noise of 1."""
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, 80, (number, rows)), 1)
    flux = 100 * np.clip(1 - np.abs(time - 30) / 20, 0, None) + rng.normal(0, 1, time.shape)
    unknown = np.full(number, np.nan)
    return LightCurves(
        object_id=np.array([f"SN{i}" for i in range(number)]),
        band=BANDS,
        wavelength=np.array([4720.0, 6415.0, 7835.0, 9260.0]),
        time=time.ravel(),
        band_index=np.tile(np.arange(rows) % 4, number).astype(np.int8),
        flux=flux.ravel().astype(np.float32),
        flux_error=np.ones(number * rows, np.float32),
        detected=(flux >= 5).ravel(),
        row_size=np.full(number, rows),
        ra=unknown,
        dec=unknown,
        redshift=np.linspace(0.1, 0.6, number).astype(np.float32),
        redshift_error=np.full(number, 0.03, np.float32),
        redshift_spec=np.full(number, np.nan, np.float32),
        mwebv=np.full(number, 0.02, np.float32),
        label=np.array(["Ia"] * number),
    )


def _column(table, name: str) -> np.ndarray:
    return table.values[:, table.names.index(name)]


def test_peak_and_counts_are_those_of_the_light_curve():
    curves = _curves()
    table = extract_features(curves, BANDS, "none")
    for index in range(len(curves)):
        rows = curves.rows(index)
        green = curves.band_index[rows] == 0
        time, flux = curves.time[rows][green], curves.flux[rows][green]
        bright = time[flux >= flux.max() / 2]
        assert _column(table, "des_g_peak_flux")[index] == flux.max()
        assert _column(table, "des_g_half_peak_span")[index] == pytest.approx(bright[-1] - bright[0], rel=1e-5)
        assert _column(table, "detections")[index] == curves.detected[rows].sum()
    assert (_column(table, "observations") == 40).all()
    assert len(set(table.names)) == len(table.names)


def test_statistics_are_those_of_the_light_curve_package():
    curves = _curves(1)
    rows = curves.band_index == 1
    expected = light_curve.Skew()(curves.time[rows], curves.flux[rows].astype(np.float64))[0]
    assert _column(extract_features(curves, BANDS, "none"), "des_r_skew")[0] == pytest.approx(expected, rel=1e-6)


def test_shifting_all_times_changes_nothing_but_rounding():
    curves = _curves()
    table, shifted = (
        extract_features(one, BANDS, "photometric") for one in (curves, replace(curves, time=curves.time + 56000.0))
    )
    # Slopes are fitted to times near 56,000 d in double precision.
    np.testing.assert_allclose(shifted.values, table.values, rtol=1e-3, atol=1e-3)


def test_each_object_has_its_own_features_whatever_its_company():
    curves = _curves()
    together = extract_features(curves, BANDS, "photometric").values
    order = np.array([4, 0, 2])
    np.testing.assert_array_equal(extract_features(curves.select(order), BANDS, "photometric").values, together[order])


def test_the_redshift_mode_decides_which_columns_there_are():
    curves = _curves()
    names = {mode: extract_features(curves, BANDS, mode).names for mode in ("none", "photometric", "spectroscopic")}
    added = set(names["photometric"]) - set(names["none"])
    assert {"redshift", "redshift_error", "des_r_absolute_peak", "des_r_half_peak_fall_rest"} <= added
    assert all("redshift" in name or name.endswith(("_rest", "_absolute_peak")) for name in added)
    assert not any("redshift" in name for name in names["none"])
    assert "redshift_error" not in names["spectroscopic"]
    assert np.isnan(_column(extract_features(curves, BANDS, "spectroscopic"), "redshift")).all()


def test_absolute_peaks_follow_astropys_distance_modulus():
    curves = _curves()
    table = extract_features(curves, BANDS, "photometric")
    modulus = FlatLambdaCDM(H0=70, Om0=0.3).distmod(curves.redshift.astype(np.float64)).value
    expected = 27.5 - 2.5 * np.log10(_column(table, "des_i_peak_flux")) - modulus
    np.testing.assert_allclose(_column(table, "des_i_absolute_peak"), expected, atol=1e-3)


def test_a_galactic_object_of_redshift_zero_has_no_absolute_magnitude():
    curves = replace(_curves(2), redshift=np.zeros(2, np.float32))
    table = extract_features(curves, BANDS, "photometric")
    assert np.isnan(_column(table, "des_g_absolute_peak")).all()
    assert (_column(table, "redshift") == 0).all()


def test_a_band_without_observations_gives_nan_in_its_columns_alone():
    table = extract_features(_curves(), ("des_r", "lsst_y"), "none")
    assert np.isnan(_column(table, "lsst_y_peak_flux")).all()
    assert np.isnan(_column(table, "lsst_y_amplitude")).all()
    assert np.isfinite(_column(table, "des_r_amplitude")).all()


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_few_observations_give_nan_and_no_warning(rows):
    table = extract_features(_curves(3, rows=rows), BANDS, "photometric")
    assert table.values.shape[0] == 3
    assert np.isnan(_column(table, "des_g_amplitude")).all()


def test_an_object_without_observations_and_no_objects_at_all_are_tables_too():
    curves = _curves(2)
    empty = curves.where(np.zeros(len(curves.time), np.bool_))
    table = extract_features(empty, BANDS, "none")
    assert (_column(table, "observations") == 0).all()
    assert np.isnan(_column(table, "span")).all()
    assert extract_features(curves.select([]), BANDS, "none").values.shape == (0, len(table.names))


def test_the_first_detection_is_the_first_observation_where_nothing_is_detected():
    curves = _curves(2)
    flags = curves.detected.copy()
    flags[curves.rows(1)] = False
    first = first_detection(replace(curves, detected=flags))
    rows = curves.rows(0)
    assert first[0] == curves.time[rows][curves.detected[rows]].min()
    assert first[1] == curves.time[curves.rows(1)].min()


def test_padding_keeps_every_observation_of_the_band_in_order():
    curves = _curves(3)
    padded = pad_band(curves, "des_i")
    np.testing.assert_array_equal(padded.flux[padded.mask], curves.flux[curves.band_index == 2])
    assert (np.diff(padded.time, axis=1)[padded.mask[:, 1:]] >= 0).all()


def test_cached_features_are_read_again_and_depend_on_all_that_enters(monkeypatch, tmp_path):
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path))
    curves = _curves()
    first = cached_features(curves, BANDS, "photometric")
    assert len(list((tmp_path / "features").iterdir())) == 1
    monkeypatch.setattr("armillary.domains.transients.features.table.extract_features", None)
    again = cached_features(curves, BANDS, "photometric")
    assert again.names == first.names
    np.testing.assert_array_equal(again.values, first.values)
    monkeypatch.undo()
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path))
    cached_features(replace(curves, flux=curves.flux + 1), BANDS, "photometric")
    cached_features(curves, BANDS, "none")
    assert len(list((tmp_path / "features").iterdir())) == 3
