"""Corrections of flux are right, made on request, and made once."""

from dataclasses import replace

import numpy as np
import pytest

from armillary.core.errors import DataError
from armillary.domains.transients.bands import BANDS, SURVEYS, alias_table, band_names, wavelengths
from armillary.domains.transients.extinction import deredden, extinction_coefficient, to_zero_point
from armillary.domains.transients.lightcurves import LightCurves
from armillary.domains.transients.units import flux_from_magnitude, magnitude_from_flux, mjd_from_jd


@pytest.fixture
def curves() -> LightCurves:
    names = band_names("lsst")
    unknown = np.full(3, np.nan, np.float32)
    return LightCurves(
        object_id=np.array(["a", "b", "c"]), band=names, wavelength=wavelengths(names),
        time=np.arange(6.0), band_index=np.array([0, 2, 4, 0, 1, 2], np.int8),
        flux=np.arange(1, 7, dtype=np.float32), flux_error=np.ones(6, np.float32), detected=np.ones(6, np.bool_),
        row_size=np.array([3, 2, 1]), ra=np.zeros(3), dec=np.zeros(3), redshift=unknown, redshift_error=unknown,
        redshift_spec=unknown, mwebv=np.array([0.1, 0.0, np.nan], np.float32), label=np.array(["", "", ""]),
        attrs={"format": "x", "sources": "[]", "zero_point": 27.5, "extinction_corrected": "no", "survey": "lsst"},
    )  # fmt: skip


def test_the_law_gives_a_v_at_v() -> None:
    np.testing.assert_allclose(extinction_coefficient(np.array([1e4 / 1.82])), [3.1], rtol=1e-12)


def test_the_law_agrees_with_an_independent_implementation() -> None:
    """Values of odonnell94 of the package `extinction` 0.4.9 (A_V 3.1, R_V 3.1)."""
    waves = np.array([3100.0, 4000.0, 5500.0, 7000.0, 9000.0])
    found = [5.49027407, 4.42115188, 3.09586811, 2.33668743, 1.48461837]
    np.testing.assert_allclose(extinction_coefficient(waves), found, rtol=1e-8)


@pytest.mark.parametrize(("wave", "published"), [(3685.0, 4.72), (4802.0, 3.72), (6231.0, 2.66), (7542.0, 2.10)])
def test_coefficients_of_lsst_bands(wave: float, published: float) -> None:
    assert extinction_coefficient(np.array([wave]))[0] == pytest.approx(published, abs=0.01)


def test_wavelengths_outside_the_law_are_refused() -> None:
    with pytest.raises(ValueError, match="outside of range defined for O94"):
        extinction_coefficient(np.array([50000.0]))


def test_dereddening_brightens_by_the_absorption_in_each_band(curves: LightCurves) -> None:
    corrected = deredden(curves)
    brighter = 2.5 * np.log10(corrected.flux[:3] / curves.flux[:3])
    coefficients = extinction_coefficient(curves.wavelength)[curves.band_index[:3]]
    np.testing.assert_allclose(brighter, 0.1 * coefficients, rtol=1e-4)
    np.testing.assert_allclose(corrected.flux / corrected.flux_error, curves.flux / curves.flux_error, rtol=1e-5)


def test_objects_of_no_or_unknown_extinction_stay_as_they_are(curves: LightCurves) -> None:
    np.testing.assert_array_equal(deredden(curves).flux[3:], curves.flux[3:])


def test_a_second_correction_is_refused_also_after_a_round_trip(curves: LightCurves) -> None:
    once = LightCurves.from_dataset(deredden(curves).to_dataset())
    assert once.attrs["extinction_corrected"] == "yes"
    assert "O'Donnell 1994" in once.attrs["extinction_law"]
    with pytest.raises(DataError, match="already corrected"):
        deredden(once)


def test_a_zero_point_shift_leaves_magnitudes_alone(curves: LightCurves) -> None:
    nano = to_zero_point(curves, 31.4)
    assert nano.attrs["zero_point"] == 31.4
    left, _ = magnitude_from_flux(curves.flux, curves.flux_error, 27.5)
    right, _ = magnitude_from_flux(nano.flux, nano.flux_error, 31.4)
    np.testing.assert_allclose(left, right, rtol=1e-6)
    np.testing.assert_allclose(to_zero_point(nano, 27.5).flux, curves.flux, rtol=1e-6)


def test_magnitudes_and_fluxes_are_inverse() -> None:
    magnitude, error = np.array([15.0, 20.0, 27.5]), np.array([0.01, 0.1, 0.3])
    back, back_error = magnitude_from_flux(*flux_from_magnitude(magnitude, error))
    np.testing.assert_allclose(back, magnitude)
    np.testing.assert_allclose(back_error, error)
    assert np.isnan(magnitude_from_flux(np.array([-1.0]), np.array([1.0]))[0])


def test_julian_dates_lose_2400000_and_a_half() -> None:
    dates = np.array([2400000.5, 2459000.75, np.nan])
    np.testing.assert_allclose(mjd_from_jd(dates), [0, 59000.25, np.nan], atol=1e-9)


@pytest.mark.parametrize("survey", SURVEYS)
def test_aliases_of_a_survey_name_one_band_each(survey: str) -> None:
    names = band_names(survey)
    assert [alias_table(survey)[name] for name in names] == list(range(len(names)))
    assert (np.diff(wavelengths(names)) > 0).all()
    spellings = [alias for band in BANDS if band.survey == survey for alias in (*band.aliases, band.name)]
    assert len(spellings) == len(set(spellings))


def test_surveys_files_say_what_their_documents_say() -> None:
    assert [alias_table("lsst")[code] for code in "012345"] == list(range(6))
    assert band_names("ztf")[alias_table("ztf")["R"]] == "ztf_r"


def test_unknown_names_are_refused_with_the_known_ones(curves: LightCurves) -> None:
    with pytest.raises(ValueError, match="lsst, des, ztf"):
        band_names("gaia")
    with pytest.raises(ValueError, match="no band 'sdss_u'"):
        wavelengths(("sdss_u",))
    with pytest.raises(DataError, match="unlike extinction_corrected"):
        LightCurves.concat([curves, deredden(curves)])


def test_a_selection_keeps_order_and_rows(curves: LightCurves) -> None:
    chosen = curves.select([2, 0])
    assert chosen.object_id.tolist() == ["c", "a"]
    np.testing.assert_array_equal(chosen.flux, [6, 1, 2, 3])
    np.testing.assert_array_equal(chosen.flux[chosen.rows(1)], curves.flux[curves.rows(0)])


def test_joining_what_was_parted_gives_the_whole(curves: LightCurves) -> None:
    whole = LightCurves.concat([curves.select([0]), curves.select([1, 2])])
    assert whole.to_dataset().drop_attrs().identical(curves.to_dataset().drop_attrs())


def test_joining_surveys_unites_their_bands(curves: LightCurves) -> None:
    names = band_names("ztf")
    index = (curves.band_index % 3).astype(np.int8)
    other = replace(curves, band=names, wavelength=wavelengths(names), band_index=index)
    both = LightCurves.concat([curves, other])
    assert both.band == (*band_names("lsst"), *names)
    assert [both.band[i] for i in both.band_index[6:]] == [names[i] for i in index]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("time", np.array([0.0, 2, 1, 3, 4, 5]), "times fall back at observation 2"),
        ("flux_error", np.zeros(6, np.float32), "not positive"),
        ("flux", np.full(6, np.nan, np.float32), "flux is not finite"),
        ("band_index", np.full(6, 9, np.int8), "band_index runs from 9 to 9"),
        ("row_size", np.array([1, 1, 1]), "row_size adds up to 3"),
    ],
)
def test_a_chunk_that_breaks_the_schema_is_refused(
    curves: LightCurves, name: str, value: np.ndarray, says: str
) -> None:
    dataset = curves.to_dataset()
    dataset[name] = (dataset[name].dims, value)
    with pytest.raises(DataError, match=says):
        LightCurves.from_dataset(dataset)


@pytest.mark.parametrize("name", ["flux", "label", "object_id"])
def test_a_missing_or_mistyped_variable_is_named(curves: LightCurves, name: str) -> None:
    with pytest.raises(DataError, match=f"no variable '{name}'"):
        LightCurves.from_dataset(curves.to_dataset().drop_vars(name))
    wrong = curves.to_dataset()
    wrong[name] = (wrong[name].dims, np.zeros(wrong[name].shape, np.complex128))
    with pytest.raises(DataError, match=f"'{name}' is complex128"):
        LightCurves.from_dataset(wrong)
