"""Pictures of every depth and kind come as grey values in [0, 1]; broken ones are told by name."""

import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from armillary.core.errors import DataError
from armillary.domains.medical.sources import RasterMask, RasterSource
from armillary.domains.medical.sources.raster import is_one_bit

RAMP = np.linspace(0, 255, 20).reshape(4, 5).astype(np.uint8)


def png(path: Path, width: int, height: int, depth: int, colour: int, rows: bytes) -> Path:
    """A PNG written by hand, for headers that no library would write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_eight_bits_are_divided_by_255(suffix: str, tmp_path: Path):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(RAMP).save(path)
    image = RasterSource(path).load()
    assert (image.shape, image.dtype) == ((1, 4, 5), np.float32)
    np.testing.assert_array_equal(image[0], RAMP.astype(np.float32) / 255)
    assert RasterSource(path).shape() == (4, 5)
    assert np.isnan(RasterSource(path).spacing_mm()).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_divided_by_65535(suffix: str, tmp_path: Path):
    values = np.linspace(0, 65535, 20).reshape(4, 5).astype(np.uint16)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(values).save(path)
    np.testing.assert_array_equal(RasterSource(path).load()[0], values.astype(np.float32) / 65535)


def test_white_is_zero_tiffs_are_inverted_at_both_depths(tmp_path: Path):
    for dtype, largest in ((np.uint8, 255), (np.uint16, 65535)):
        path = tmp_path / f"{largest}.tif"
        Image.fromarray((RAMP.astype(np.float64) / 255 * largest).astype(dtype)).save(path, tiffinfo={262: 1})
        plain = RasterSource(path).load()
        # The tag of photometry is changed in the file itself, for Pillow would change the pixels along.
        data = bytearray(path.read_bytes())
        place = data.index(struct.pack("<HHI", 262, 3, 1)) + 8
        data[place : place + 2] = struct.pack("<H", 0)
        path.write_bytes(bytes(data))
        np.testing.assert_allclose(RasterSource(path).load(), 1 - plain, atol=1e-6)


def test_one_bit_is_black_and_white(tmp_path: Path):
    path = tmp_path / "a.png"
    Image.fromarray(RAMP > 100).save(path)
    np.testing.assert_array_equal(RasterSource(path).load()[0], RAMP > 100)
    assert is_one_bit(path)


def test_colour_comes_channels_first_and_grey_palettes_as_grey(tmp_path: Path):
    colour = np.stack([RAMP, RAMP[::-1], RAMP // 2], -1)
    Image.fromarray(colour).save(tmp_path / "c.png")
    np.testing.assert_array_equal(
        RasterSource(tmp_path / "c.png").load(), colour.transpose(2, 0, 1).astype(np.float32) / 255
    )
    indexed = Image.fromarray(RAMP).convert("P")
    indexed.save(tmp_path / "p.png")
    assert RasterSource(tmp_path / "p.png").load().shape == (1, 4, 5)
    Image.fromarray(colour).convert("P").save(tmp_path / "q.png")
    assert RasterSource(tmp_path / "q.png").load().shape == (3, 4, 5)


def test_colour_of_sixteen_bits_is_read(tmp_path: Path):
    row = b"\0" + np.array([[0, 32768, 65535]] * 2, ">u2").tobytes()
    image = RasterSource(png(tmp_path / "c.png", 2, 2, 16, 2, row * 2)).load()
    np.testing.assert_allclose(image[:, 0, 0], [0, 0.5, 1], atol=0.003)


def test_what_is_transparent_lies_on_black(tmp_path: Path):
    pixels = np.full((4, 5, 4), 255, np.uint8)
    pixels[:, 2:, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "t.png")
    image = RasterSource(tmp_path / "t.png").load()
    assert image.shape == (1, 4, 5)
    np.testing.assert_array_equal(image[0], np.array([1, 1, 0, 0, 0], np.float32) * np.ones((4, 1)))


def test_a_truncated_jpeg_is_told_by_name(tmp_path: Path):
    path = tmp_path / "cut.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:1500])
    for look in (RasterSource(path).load, RasterSource(path).shape, RasterMask(path).shape):
        with pytest.raises(DataError, match=r"cut\.jpg.*truncated"):
            look()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".jpg"])
def test_a_file_that_was_cut_off_is_found_out_by_its_end_and_one_with_more_behind_it_is_read(
    suffix: str, tmp_path: Path
):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data + b"behind")
    assert RasterSource(path).shape() == (64, 64)
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(DataError):
        RasterSource(path).shape()


def test_a_png_with_broken_data_is_told_by_name(tmp_path: Path):
    path = tmp_path / "bad.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"bad\.png"):
        RasterSource(path).load()


@pytest.mark.parametrize(("content", "words"), [(b"", "empty"), (b"nonsense" * 20, "cannot be read as a picture")])
def test_empty_and_foreign_files_are_told(content: bytes, words: str, tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for look in (RasterSource(path).load, RasterSource(path).shape, RasterMask(path).load):
        with pytest.raises(DataError, match=words):
            look()


def test_missing_files_and_folders_are_told(tmp_path: Path):
    with pytest.raises(DataError, match="No such file"):
        RasterSource(tmp_path / "no.png").load()
    with pytest.raises(DataError, match="is a folder"):
        RasterSource(tmp_path).load()


def test_a_picture_of_more_pixels_than_the_limit_is_refused_before_it_is_decoded(tmp_path: Path):
    path = png(tmp_path / "bomb.png", 60000, 60000, 8, 0, bytes(1000))
    with pytest.raises(DataError, match=r"60000|decompression bomb"):
        RasterSource(path).load()
    path = png(tmp_path / "large.png", 10000, 10000, 8, 0, bytes(1000))
    with pytest.raises(DataError, match="10000 x 10000 pixels; at most"):
        RasterSource(path).load()


def test_a_tiff_of_several_pages_is_no_picture(tmp_path: Path):
    pages = [Image.fromarray(RAMP) for _ in range(3)]
    pages[0].save(tmp_path / "s.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match="3 pages"):
        RasterSource(tmp_path / "s.tif").load()


def test_floats_beyond_one_are_refused_with_their_range(tmp_path: Path):
    Image.fromarray(np.full((4, 5), 300.0, np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(DataError, match=r"floats from 0 to 300; expected grey values in \[0, 1\]"):
        RasterSource(tmp_path / "f.tif").load()


def test_even_and_very_dark_images_are_reported_and_read(tmp_path: Path, told: list[DataError]):
    Image.fromarray(np.full((4, 5), 7, np.uint8)).save(tmp_path / "even.png")
    Image.fromarray(RAMP.astype(np.uint16) * 16).save(tmp_path / "12bit.png")
    assert RasterSource(tmp_path / "even.png").load(told.append).shape == (1, 4, 5)
    RasterSource(tmp_path / "12bit.png").load(told.append)
    assert "every pixel has the value" in str(told[0])
    assert "fewer bits" in str(told[1])
    with pytest.warns(RuntimeWarning, match="every pixel"):
        RasterSource(tmp_path / "even.png").load()


def test_masks_are_white_or_one_or_the_pixels_of_a_value(tmp_path: Path):
    inside = RAMP > 100
    for name, picture in {
        "bits.png": Image.fromarray(inside),
        "ones.png": Image.fromarray(inside.astype(np.uint8)),
        "white.png": Image.fromarray(np.where(inside, 255, 0).astype(np.uint8)),
        "soft.jpg": Image.fromarray(np.where(inside, 230, 9).astype(np.uint8)),
        "colour.png": Image.fromarray(np.stack([np.where(inside, 255, 0).astype(np.uint8)] * 3, -1)),
        "deep.png": Image.fromarray(np.where(inside, 65535, 0).astype(np.uint16)),
    }.items():
        picture.save(tmp_path / name, **({"quality": 100} if name.endswith("jpg") else {}))
        mask = RasterMask(tmp_path / name).load()
        assert mask.dtype == np.float32
        np.testing.assert_array_equal(mask, inside, err_msg=name)
    Image.fromarray(np.where(inside, 3, 2).astype(np.uint8)).save(tmp_path / "labels.png")
    np.testing.assert_array_equal(RasterMask(tmp_path / "labels.png", 3).load(), inside)
    with pytest.raises(DataError, match="name the value"):
        RasterMask(tmp_path / "labels.png").load()


def test_sources_can_be_pickled_and_compared(tmp_path: Path):
    source = RasterSource(tmp_path / "a.png")
    assert pickle.loads(pickle.dumps(source)) == source


@pytest.mark.real
def test_real_pictures_have_the_size_and_range_that_is_told(data_root: Path):
    medical = data_root / "medical"
    film = RasterSource(medical / "nih_cxr14_mini" / "images" / "00000001_000.png").load()
    assert film.shape == (1, 64, 64)
    eye = RasterSource(medical / "chase_db1" / "Image_01L.jpg").load()
    vessels = RasterMask(medical / "chase_db1" / "Image_01L_1stHO.png").load()
    assert eye.shape == (3, 960, 999)
    assert vessels.shape == (960, 999)
    assert 0.04 < vessels.mean() < 0.1
    lung = RasterMask(next((medical / "covid_cxr_structures" / "masks").glob("*__left_lung.png"))).load()
    assert set(np.unique(lung)) == {0.0, 1.0}
