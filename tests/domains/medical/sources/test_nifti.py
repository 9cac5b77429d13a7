"""NIfTI volumes come in one orientation, with the affine that says where each voxel lies."""

from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import nibabel
import numpy as np
import pytest

from armillary.core.errors import DataError
from armillary.domains.medical.sources import NiftiMask, NiftiSource
from armillary.domains.medical.sources.nifti_read import nifti_of

Write = Callable[..., Path]
SHAPE = (3, 4, 5)
ALL = [
    np.array(order)[:, None] * [1, 0] + np.array(signs)[:, None] * [0, 1]
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
]


def affine_for(turn: np.ndarray) -> np.ndarray:
    """An affine whose file axis i goes along patient axis turn[i, 0], up or down by turn[i, 1]."""
    affine = np.zeros((4, 4))
    for axis, (target, sign) in enumerate(turn):
        affine[target, axis] = sign * (1.0, 2.0, 3.0)[axis]
    affine[:, 3] = 7.0, -8.0, 9.0, 1.0
    return affine


@pytest.mark.parametrize("turn", ALL[::5])
def test_every_orientation_gives_the_same_volume(turn: np.ndarray, write_nifti: Write):
    values = np.random.default_rng(0).uniform(0, 1, SHAPE).astype(np.float32)
    affine = affine_for(turn)
    source = NiftiSource(write_nifti("a.nii", values, affine), window=(0.5, 1.0))
    volume, ours = source.load()[0], source.affine()
    assert volume.shape == source.shape()
    for place in ((0, 0, 0), (2, 1, 3), (1, 3, 4)):
        plane, row, column = np.rint(np.linalg.solve(ours, affine @ [*place, 1]))[[2, 1, 0]].astype(int)
        assert volume[plane, row, column] == pytest.approx(values[place], abs=1e-6)
    assert "".join(nibabel.aff2axcodes(ours)) == "LPS"
    assert np.all(np.diag(ours[:3, :3]) * [-1, -1, 1] > 0)
    np.testing.assert_allclose(source.spacing_mm(), np.abs(np.diag(ours))[[2, 1, 0]])


@pytest.mark.parametrize("turn", ALL[::7])
def test_a_volume_goes_back_to_where_its_file_has_it(turn: np.ndarray, write_nifti: Write):
    inside = np.random.default_rng(0).uniform(0, 1, SHAPE) > 0.5
    path = write_nifti("a.nii.gz", inside.astype(np.uint8), affine_for(turn))
    source = NiftiSource(path)
    back = nifti_of(NiftiMask(path).load(), source.affine(), source.orientation())
    np.testing.assert_array_equal(np.asarray(back.dataobj), inside)
    np.testing.assert_allclose(back.affine, affine_for(turn))


def test_grey_values_go_by_percentiles_or_by_a_window(write_nifti: Write):
    values = np.random.default_rng(0).normal(40, 300, (20, 21, 22)).astype(np.int16)
    path = write_nifti("a.nii.gz", values)
    low, high = np.percentile(values, (0.5, 99.5))
    expected = np.clip((values[::-1, ::-1].T - low) / (high - low), 0, 1)
    np.testing.assert_allclose(NiftiSource(path).load()[0], expected, atol=1e-5)
    window = NiftiSource(path, window=(40.0, 400.0)).load()[0]
    np.testing.assert_allclose(window, np.clip((values[::-1, ::-1].T + 160) / 400, 0, 1), atol=1e-5)


def test_voxels_that_are_not_finite_are_black_and_reported(write_nifti: Write, told: list[DataError]):
    values = np.random.default_rng(0).uniform(5, 6, SHAPE).astype(np.float32)
    values[0, 0, 0], values[1, 1, 1] = np.nan, np.inf
    volume = NiftiSource(write_nifti("a.nii", values)).load(told.append)[0]
    assert np.isfinite(volume).all()
    assert volume[0, -1, -1] == volume[1, -2, -2] == 0
    assert "2 of 60 voxels are NaN or infinite" in str(told[0])
    with pytest.raises(DataError, match="no finite voxel"):
        NiftiSource(write_nifti("b.nii", np.full(SHAPE, np.nan, np.float32))).load()
    with pytest.raises(DataError, match="mask with NaN"):
        NiftiMask(write_nifti("c.nii", values)).load()


def test_masks_are_what_is_not_zero_or_one_value(write_nifti: Write):
    labels = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    path = write_nifti("a.nii.gz", labels)
    np.testing.assert_array_equal(NiftiMask(path).load(), labels[::-1, ::-1].T > 0)
    np.testing.assert_array_equal(NiftiMask(path, 2).load(), labels[::-1, ::-1].T == 2)
    assert NiftiMask(path).shape() == (5, 4, 3)


def broken_header(path: Path, **fields: object) -> Path:
    """The file with fields of its header changed, whatever they break."""
    data = bytearray(path.read_bytes())
    header = nibabel.Nifti1Header(bytes(data[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    data[:348] = header.binaryblock
    path.write_bytes(bytes(data))
    return path


def test_a_singular_affine_is_refused(write_nifti: Write):
    values = np.random.default_rng(0).uniform(0, 1, SHAPE).astype(np.float32)
    flat = broken_header(write_nifti("flat.nii", values), srow_z=[0, 0, 0, 0])
    same = broken_header(write_nifti("same.nii", values), srow_y=[1, 0, 0, 0])
    unreal = broken_header(write_nifti("nan.nii", values), srow_x=[np.nan, 0, 0, 0])
    for path in (flat, same, unreal):
        for look in (NiftiSource(path).load, NiftiSource(path).shape, NiftiMask(path).load):
            with pytest.raises(DataError, match="singular affine"):
                look()


def test_four_dimensions_are_refused_and_trailing_ones_are_not(write_nifti: Write):
    values = np.random.default_rng(0).uniform(0, 1, (*SHAPE, 2)).astype(np.float32)
    with pytest.raises(DataError, match=r"4 dimensions \(3 x 4 x 5 x 2\)"):
        NiftiSource(write_nifti("a.nii", values)).load()
    assert NiftiSource(write_nifti("b.nii", values[..., :1])).load().shape == (1, 5, 4, 3)
    assert NiftiSource(write_nifti("c.nii", values[:, :, 0, 0])).load().shape == (1, 1, 4, 3)


def test_an_unknown_orientation_is_reported(write_nifti: Write, told: list[DataError]):
    path = write_nifti("a.nii", np.random.default_rng(0).uniform(0, 1, SHAPE).astype(np.float32))
    NiftiSource(broken_header(path, qform_code=0, sform_code=0)).load(told.append)
    with pytest.warns(RuntimeWarning, match="does not tell how it lies"):
        NiftiSource(path).load()
    assert "does not tell how it lies" in str(told[0])


def test_microns_become_millimetres(write_nifti: Write):
    path = write_nifti("a.nii", np.zeros(SHAPE, np.uint8), np.diag([100.0, 200.0, 300.0, 1.0]))
    assert NiftiSource(broken_header(path, xyzt_units=3)).spacing_mm() == pytest.approx((0.3, 0.2, 0.1))


def test_colours_truncated_files_and_false_sizes_are_told(write_nifti: Write, tmp_path: Path):
    colours = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(DataError, match="expected one number each"):
        NiftiSource(write_nifti("rgb.nii", colours)).load()
    values = np.random.default_rng(0).uniform(0, 1, (30, 30, 30)).astype(np.float32)
    path = write_nifti("cut.nii.gz", values)
    path.write_bytes(path.read_bytes()[:20000])
    for look in (NiftiSource(path).load, NiftiSource(path).shape):
        with pytest.raises(DataError, match=r"cut\.nii\.gz.*cannot be read as NIfTI voxels"):
            look()
    path = broken_header(write_nifti("large.nii", values), dim=[3, 30000, 30000, 30000, 1, 1, 1, 1])
    with pytest.raises(DataError, match="says it has 30000 x 30000 x 30000 voxels"):
        NiftiSource(path).load()
    path = broken_header(write_nifti("none.nii", values), dim=[3, 0, 30, 30, 1, 1, 1, 1])
    with pytest.raises(DataError, match=r"none\.nii.*(no pixels|cannot be read)"):
        NiftiSource(path).load()
    (tmp_path / "empty.nii").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        NiftiSource(tmp_path / "empty.nii").load()
    (tmp_path / "no.nii").write_bytes(b"nonsense" * 100)
    with pytest.raises(DataError, match="cannot be read as NIfTI"):
        NiftiSource(tmp_path / "no.nii").shape()
