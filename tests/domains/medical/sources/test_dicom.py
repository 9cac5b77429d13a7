"""DICOM: grey values as they are to be seen, slices where they lie, and nothing said about who the patient is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import MPEG2MPML, JPEGLosslessSV1, RLELossless

from armillary.core.errors import DataError
from armillary.domains.medical.sources import DicomSource
from armillary.domains.medical.sources.dicom_series import group_series

RAMP = np.linspace(0, 4095, 20).reshape(4, 5).astype(np.uint16)
Write = Callable[..., Path]
WriteSlices = Callable[..., list[Path]]


def grey(path: Path, told: list[DataError], **options: object) -> np.ndarray:
    return DicomSource((path,), **options).load(told.append)  # pyright: ignore[reportArgumentType]


def test_without_a_window_the_stored_depth_is_the_range(write_dicom: Write, told: list[DataError]):
    image = grey(write_dicom("a.dcm", RAMP, BitsStored=12, HighBit=11), told)
    np.testing.assert_allclose(image[0], RAMP / 4095, atol=1e-6)
    assert not told


def test_the_window_follows_the_formula_of_the_standard(write_dicom: Write, told: list[DataError]):
    options = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": [500, 9], "WindowWidth": [2001, 9]}
    values = RAMP.astype(np.float64) * 2 - 1000
    image = grey(write_dicom("a.dcm", RAMP, **options), told)
    np.testing.assert_allclose(image[0], np.clip((values - 499.5) / 2000 + 0.5, 0, 1), atol=1e-5)
    image = grey(write_dicom("b.dcm", RAMP, VOILUTFunction="LINEAR_EXACT", **options), told)
    np.testing.assert_allclose(image[0], np.clip((values - 500) / 2001 + 0.5, 0, 1), atol=1e-5)
    image = grey(write_dicom("c.dcm", RAMP, VOILUTFunction="SIGMOID", **options), told)
    np.testing.assert_allclose(image[0], 1 / (1 + np.exp(-4 * (values - 500) / 2001)), atol=1e-5)
    image = grey(write_dicom("d.dcm", RAMP, **options), told, window=(0.0, 101.0))
    np.testing.assert_allclose(image[0], np.clip((values + 0.5) / 100 + 0.5, 0, 1), atol=1e-5)


def test_inverted_photometry_is_turned_back(write_dicom: Write, told: list[DataError]):
    for options in ({}, {"WindowCenter": 2000, "WindowWidth": 3000}):
        plain = grey(write_dicom("a.dcm", RAMP, BitsStored=12, HighBit=11, **options), told)
        other = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11, **options}
        np.testing.assert_allclose(grey(write_dicom("b.dcm", RAMP, **other), told), 1 - plain, atol=1e-6)


def test_a_table_of_values_stands_in_for_a_window(write_dicom: Write, told: list[DataError]):
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 8], [255 - number // 16 for number in range(4096)]
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "US"
    image = grey(write_dicom("a.dcm", RAMP, VOILUTSequence=Sequence([table])), told)
    np.testing.assert_allclose(image[0], (255 - RAMP // 16) / 255, atol=1e-6)


@pytest.mark.parametrize("stored", ["words", "bytes"])
def test_a_table_of_the_modality_comes_first(stored: str, write_dicom: Write, told: list[DataError]):
    entries = np.linspace(0, 255, 500).astype(np.uint8)
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [500, 100, 8], "US"
    table.LUTData = entries.tolist() if stored == "words" else entries.tobytes()
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "US" if stored == "words" else "OW"
    image = grey(write_dicom("a.dcm", RAMP, ModalityLUTSequence=Sequence([table])), told)
    np.testing.assert_allclose(image[0], entries[np.clip(RAMP.astype(int) - 100, 0, 499)] / 255, atol=1e-6)


def test_a_window_of_no_width_is_reported_and_not_used(write_dicom: Write, told: list[DataError]):
    image = grey(write_dicom("a.dcm", RAMP, WindowCenter=100, WindowWidth=0, BitsStored=12, HighBit=11), told)
    assert "width 0; it is not used" in str(told[0])
    np.testing.assert_allclose(image[0], RAMP / 4095, atol=1e-6)


def test_measured_values_without_a_window_go_by_percentiles(write_dicom: Write, told: list[DataError]):
    values = np.random.default_rng(0).normal(0, 100, (40, 50)).astype(np.int16)
    image = grey(write_dicom("a.dcm", values, Modality="CT"), told)
    low, high = np.percentile(values, (0.5, 99.5))
    np.testing.assert_allclose(image[0], np.clip((values - low) / (high - low), 0, 1), atol=1e-5)


def test_colour_has_three_channels(write_dicom: Write, told: list[DataError]):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 5, 3), np.uint8)
    np.testing.assert_allclose(grey(write_dicom("a.dcm", pixels), told), pixels.transpose(2, 0, 1) / 255, atol=1e-6)


def test_halved_colours_are_no_cut_off_file(write_dicom: Write, told: list[DataError]):
    pixels = np.zeros((64, 64, 3), np.uint8)
    path = write_dicom(
        "a.dcm", pixels, PhotometricInterpretation="YBR_FULL_422", PixelData=bytes([0, 99, 128, 128] * 2048)
    )
    image = grey(path, told)
    assert image.shape == (3, 64, 64)
    np.testing.assert_allclose(image[:, 0, 1], 99 / 255, atol=0.01)


def test_spacing_is_that_of_the_patient_else_of_the_detector(write_dicom: Write):
    both = write_dicom("a.dcm", RAMP, PixelSpacing=[0.1, 0.2], ImagerPixelSpacing=[0.3, 0.4])
    detector = write_dicom("b.dcm", RAMP, ImagerPixelSpacing=[0.3, 0.4])
    assert DicomSource((both,)).spacing_mm() == (0.1, 0.2)
    assert DicomSource((detector,)).spacing_mm() == (0.3, 0.4)
    assert np.isnan(DicomSource((write_dicom("c.dcm", RAMP),)).spacing_mm()).all()
    assert DicomSource((both,)).affine() is None


def test_frames_of_one_file_are_a_volume(write_dicom: Write, told: list[DataError]):
    frames = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    path = write_dicom("a.dcm", frames, PixelSpacing=[0.1, 0.2], SliceThickness=3.0)
    source = DicomSource((path,))
    np.testing.assert_allclose(source.load(told.append)[0], frames / 255, atol=1e-6)
    assert (source.shape(), source.spacing_mm()) == ((3, 4, 5), (3.0, 0.1, 0.2))


def test_frames_are_sorted_by_their_own_positions(write_dicom: Write, told: list[DataError]):
    frames = np.arange(3, dtype=np.uint8)[:, None, None] * np.full((1, 4, 5), 100, np.uint8)
    own = []
    for height in (4.0, 0.0, 2.0):
        position, item = Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, height]
        item.PlanePositionSequence = Sequence([position])
        own.append(item)
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.5], 9.0
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([orientation]), Sequence([measures])
    path = write_dicom(
        "a.dcm", frames, PerFrameFunctionalGroupsSequence=Sequence(own),
        SharedFunctionalGroupsSequence=Sequence([shared]),
    )  # fmt: skip
    source = DicomSource((path,))
    np.testing.assert_allclose(source.load(told.append)[0, :, 0, 0], np.array([100, 200, 0]) / 255, atol=1e-6)
    assert source.spacing_mm() == (2.0, 0.5, 0.5)


@pytest.mark.parametrize("turned", [False, True])
def test_slices_are_sorted_along_their_normal(turned: bool, write_slices: WriteSlices, told: list[DataError]):
    cosines = [0, 1, 0, 1, 0, 0] if turned else [1, 0, 0, 0, 1, 0]
    paths = write_slices([3.0, 1.0, 5.0, -1.0], ImageOrientationPatient=cosines)
    source = DicomSource(tuple(paths))
    order = np.rint(source.load(told.append)[0, :, 0, 0] * 8 - 0.5).astype(int).tolist()
    assert order == ([2, 0, 1, 3] if turned else [3, 1, 0, 2])
    assert (source.shape(), source.spacing_mm(), told) == ((4, 4, 5), (2.0, 0.5, 0.7), [])


def test_the_affine_counts_to_the_right_and_the_front(write_slices: WriteSlices):
    affine = DicomSource(tuple(write_slices([0.0, 2.0, 4.0]))).affine()
    assert affine is not None
    # Column 1, row 2, plane 1 in DICOM: (-10 + 0.7, -20 + 2 * 0.5, 2), left and back counting up.
    np.testing.assert_allclose(affine @ [1, 2, 1, 1], [9.3, 19.0, 2.0, 1])


def test_gaps_are_reported(write_slices: WriteSlices, told: list[DataError]):
    assert DicomSource(tuple(write_slices([0.0, 2.0, 4.0, 8.0]))).load(told.append).shape == (1, 4, 4, 5)
    assert [str(error) for error in told if "slices are 2 mm apart, but 4 mm between 02.dcm" in str(error)]


def test_a_doubled_slice_is_reported_and_left_out(write_slices: WriteSlices, told: list[DataError]):
    paths = write_slices([0.0, 2.0, 2.0, 4.0])
    assert DicomSource(tuple(paths)).load(told.append).shape == (1, 3, 4, 5)
    assert "1 of 4 slices lie where another one does" in str(told[0])
    assert DicomSource(tuple(paths)).shape() == (3, 4, 5)


def test_phases_at_one_place_are_refused(write_slices: WriteSlices):
    with pytest.raises(DataError, match="2 images or more at each of 2 places"):
        DicomSource(tuple(write_slices([0.0, 2.0, 0.0, 2.0]))).load()


def test_files_of_several_series_are_refused_and_grouped_when_searched(
    write_slices: WriteSlices, write_dicom: Write, told: list[DataError]
):
    one, other = write_slices([0.0, 2.0], "1.2.3"), write_slices([0.0, 2.0, 4.0], "1.2.4")
    with pytest.raises(DataError, match="is of another series"):
        DicomSource((*one, *other)).load()
    scout = write_dicom(
        "scout.dcm", np.zeros((9, 9), np.int16), SeriesInstanceUID="1.2.3", ImagePositionPatient=[0, 0, 0],
        ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
    )  # fmt: skip
    film = write_dicom("film.dcm", RAMP, SeriesInstanceUID="1.2.3")
    report = write_dicom("report.dcm", None)
    groups = group_series([*one, scout, *other, film, report], told.append)
    assert groups == [tuple(one), (scout,), tuple(other), (film,)]
    assert len(told) == 1
    assert "holds no pixels" in str(told[0])


def test_files_without_pixels_are_told(write_dicom: Write):
    with pytest.raises(DataError, match=r"holds no pixels \(CT Image Storage\)"):
        DicomSource((write_dicom("a.dcm", None),)).load()
    with pytest.raises(DataError, match="holds no pixels"):
        DicomSource((write_dicom("b.dcm", RAMP, PixelData=None),)).shape()


def test_an_absent_codec_is_named_with_what_to_install(write_dicom: Write):
    data = encapsulate([b"\xff\xd8\xff\xd9"])
    path = write_dicom("a.dcm", None, syntax=JPEGLosslessSV1)
    path = write_dicom("a.dcm", RAMP, syntax=JPEGLosslessSV1, PixelData=data)
    with pytest.raises(DataError, match=r"JPEG Lossless.*1\.2\.840\.10008\.1\.2\.4\.70.*\n.*Install pylibjpeg"):
        DicomSource((path,)).load()
    video = write_dicom("v.dcm", RAMP, syntax=MPEG2MPML, PixelData=data)
    with pytest.raises(DataError, match=r"MPEG2.*\n.*Store the file uncompressed"):
        DicomSource((video,)).load()
    assert DicomSource((path,)).shape() == (4, 5)


@pytest.mark.parametrize(
    "keyword", ["PhotometricInterpretation", "BitsStored", "SamplesPerPixel", "PixelRepresentation"]
)
def test_a_header_that_lacks_an_element_is_told(keyword: str, write_dicom: Write, told: list[DataError]):
    path = write_dicom("lacks.dcm", RAMP, PatientName="Doe", **{keyword: None})
    with pytest.raises(DataError, match=r"lacks\.dcm"):
        DicomSource((path,)).load(told.append)
    assert "names a patient" in str(told[0])


def test_damaged_pixels_are_told(write_dicom: Write):
    for path in (
        write_dicom("a.dcm", RAMP, PixelData=RAMP.tobytes()[:38]),
        write_dicom("b.dcm", RAMP, syntax=RLELossless, PixelData=encapsulate([bytes(64)])),
    ):
        with pytest.raises(DataError, match=f"{path.name}.*cannot be read as DICOM pixels"):
            DicomSource((path,)).load()


def test_a_file_that_was_cut_off_is_found_out_by_its_size(write_dicom: Write):
    path = write_dicom("cut.dcm", np.zeros((64, 64), np.int16))
    path.write_bytes(path.read_bytes()[:3000])
    for look in (DicomSource((path,)).load, DicomSource((path,)).shape):
        with pytest.raises(DataError, match=r"cut\.dcm.*is cut off: 8192 bytes"):
            look()


def test_a_header_of_more_pixels_than_the_limit_is_refused(write_dicom: Write):
    path = write_dicom("a.dcm", RAMP, Rows=65535, Columns=65535, NumberOfFrames=60000)
    with pytest.raises(DataError, match="says it holds 60000 frames"):
        DicomSource((path,)).load()
    with pytest.raises(DataError, match="has no pixels"):
        DicomSource((write_dicom("b.dcm", RAMP, Rows=0),)).load()


def test_nonsense_and_empty_files_are_told(tmp_path: Path):
    path = tmp_path / "a.dcm"
    path.write_bytes(b"nonsense" * 100)
    with pytest.raises(DataError, match="cannot be read as DICOM"):
        DicomSource((path,)).load()
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        DicomSource((path,)).shape()
    with pytest.raises(DataError, match="without files"):
        DicomSource(()).load()


def test_a_patient_who_is_named_is_reported_without_the_name(write_dicom: Write, told: list[DataError]):
    who = {"PatientName": "Doe^Jane", "PatientID": "4711", "PatientBirthDate": "19700203"}
    grey(write_dicom("a.dcm", RAMP, BitsStored=12, HighBit=11, **who), told)
    grey(write_dicom("b.dcm", RAMP, BitsStored=12, HighBit=11, PatientIdentityRemoved="YES", **who), told)
    grey(write_dicom("c.dcm", RAMP, BitsStored=12, HighBit=11, PatientName=""), told)
    with pytest.warns(RuntimeWarning, match="names a patient"):
        DicomSource((write_dicom("d.dcm", RAMP, BitsStored=12, HighBit=11, **who),)).load()
    assert len(told) == 1
    assert "PatientName, PatientBirthDate, PatientID" in str(told[0])
    assert not any(secret in str(told[0]) for secret in ("Doe", "Jane", "4711", "1970"))


def test_errors_of_the_header_quote_nothing_from_it(write_dicom: Write):
    path = write_dicom("a.dcm", RAMP, PatientName="Doe^Jane", PixelSpacing=[0.1, 0.2])
    path.write_bytes(path.read_bytes().replace(b"0.1\\0.2", b"Doe\\Doe"))
    with pytest.raises(DataError) as caught:
        DicomSource((path,)).spacing_mm()
    assert "Doe" not in str(caught.value)
    assert caught.value.__cause__ is None
