"""What each format says is what the chunk holds, and nothing of what it must not say."""

import gzip
import io
from itertools import groupby
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest
import xarray as xr

from armillary.domains.transients.lightcurves import MJD, RELATIVE, LightCurves
from armillary.domains.transients.readers.grouping import ObjectBuffer, SeenIds
from armillary.domains.transients.readers.plasticc import read_plasticc
from armillary.domains.transients.readers.plasticc_metadata import Metadata


def same(left: LightCurves, right: LightCurves) -> None:
    """The two hold the same objects, whatever files they come from."""
    drop = {"sources": "", "metadata": ""}
    xr.testing.assert_identical(
        left.to_dataset().assign_attrs(drop).sortby("object_id"),
        right.to_dataset().assign_attrs(drop).sortby("object_id"),
    )


def padded(rows: list[str]) -> list[str]:
    """The rows as Zenodo writes numbers: padded with spaces."""
    return [",".join(f"{field:>14}" for field in row.split(",")) for row in rows]


def test_both_plasticc_dialects_give_the_same_dataset(make: Any, outcome: Any) -> None:
    rows = make.rows((1, 2, 3))
    make.write("k/training_set.csv", make.table(rows))
    make.write("k/training_set_metadata.csv", make.metadata((1, 2, 3)))
    make.write("z/plasticc_train_lightcurves.csv.gz", gzip.compress(make.table(padded(rows), make.zenodo).encode()))
    make.write("z/plasticc_train_metadata.csv.gz", gzip.compress(make.metadata((1, 2, 3), "zenodo").encode()))
    kaggle, zenodo = outcome([make.folder / "k"]), outcome([make.folder / "z"])
    assert kaggle.errors == zenodo.errors == []
    same(kaggle.curves, zenodo.curves)


def test_a_plasticc_table_gives_its_own_numbers_back(make: Any, outcome: Any) -> None:
    make.write("t.csv", make.table(make.rows((1, 2))))
    make.write("t_metadata.csv", make.metadata((1, 2)))
    curves = outcome([make.folder / "t.csv"]).curves
    written = np.array([[float(x) for x in row.split(",")] for row in make.rows((1, 2))])
    np.testing.assert_array_equal(curves.time, written[:, 1])
    np.testing.assert_array_equal(curves.band_index, written[:, 2])
    np.testing.assert_allclose(curves.flux, written[:, 3], rtol=1e-6)
    np.testing.assert_allclose(curves.flux_error, written[:, 4], rtol=1e-6)
    np.testing.assert_array_equal(curves.detected, written[:, 5] == 1)
    assert curves.object_id.tolist() == ["1", "2"]
    assert curves.label.tolist() == ["90", "90"]
    np.testing.assert_allclose(curves.ra, [1.5, 2.5])
    np.testing.assert_allclose(curves.dec, [-41.25, -42.25])
    np.testing.assert_allclose(curves.redshift, [0.1, 0.2], rtol=1e-6)
    np.testing.assert_allclose(curves.redshift_spec, 0.1, rtol=1e-6)
    assert curves.time_reference == MJD


def test_minus_nine_is_unknown_and_zero_stays_galactic(make: Any, outcome: Any) -> None:
    make.write("t.csv", make.table(make.rows((1, 2))))
    table = make.metadata((1, 2), "zenodo").replace(" 0.100, 0.100, 0.050", "-9.000,-9.000,-9.000")
    make.write("t_metadata.csv", table.replace(" 0.100, 0.200, 0.050", " 0.000, 0.000, 0.000"))
    curves = outcome([make.folder]).curves
    np.testing.assert_array_equal(curves.redshift, [np.nan, 0])
    np.testing.assert_array_equal(curves.redshift_spec, [np.nan, 0])


def test_truth_never_enters_a_chunk(make: Any, outcome: Any) -> None:
    make.write("t.csv", make.table(make.rows((1,))))
    make.write("t_metadata.csv", make.metadata((1,), "zenodo"))
    make.write("a.DAT", make.snana(1))
    make.pair()
    for chunk in outcome([make.folder]).chunks:
        assert not [name for name in chunk.variables if str(name).lower().startswith(("sim", "true", "tflux"))]
        values = [chunk[name].values for name in ("redshift", "redshift_spec", "redshift_error")]
        assert not np.isclose(np.concatenate(values).astype(float), 9.9).any()
        assert "LEAK" not in chunk["label"].values


@pytest.mark.parametrize("order", ["reversed", "shuffled", "by time"])
def test_rows_may_come_in_any_order_within_the_window(make: Any, outcome: Any, order: str) -> None:
    rows = make.rows(range(1, 20))
    make.write("a/t.csv", make.table(rows))
    mixed = {
        "reversed": rows[::-1],
        "shuffled": [rows[i] for i in np.random.default_rng(0).permutation(len(rows))],
        "by time": sorted(rows, key=lambda row: float(row.split(",")[1])),
    }[order]
    make.write("b/t.csv", make.table(mixed))
    same(outcome([make.folder / "a"]).curves, outcome([make.folder / "b"]).curves)


@pytest.mark.parametrize("chunk_items", [1, 3, 1000])
def test_chunks_hold_at_most_what_was_asked_for(make: Any, outcome: Any, chunk_items: int) -> None:
    make.write("t.csv", make.table(make.rows(range(1, 8))))
    for name in range(7):
        make.write(f"{name}.DAT", make.snana(name + 100))
    result = outcome([make.folder], chunk_items)
    assert max(chunk.sizes["object"] for chunk in result.chunks) <= chunk_items
    assert len(result.ids) == 14


def test_objects_that_span_blocks_and_windows_are_joined(make: Any) -> None:
    path = make.write("t.csv", make.table(make.rows(range(1, 60), points=11)))
    errors: list[Exception] = []
    chunks = list(read_plasticc(path, Metadata(), 1000, errors.append, 50, 500))
    assert errors == []
    assert len(chunks) > 5
    assert all((chunk["row_size"].values == 11).all() for chunk in chunks)
    assert sum(chunk.sizes["object"] for chunk in chunks) == 59


def test_an_object_that_comes_back_too_late_stops_the_table_with_the_command_to_sort_it(make: Any) -> None:
    rows = make.rows(range(1, 60))
    path = make.write("t.csv", make.table([*rows, rows[0].replace("1,", "1,", 1)]))
    errors: list[Any] = []
    list(read_plasticc(path, Metadata(), 1000, errors.append, 50, 500))
    assert len(errors) == 1
    assert "object 1 comes again" in str(errors[0])
    assert errors[0].row == 356
    assert "sort -t, -k1,1n" in str(errors[0])


def test_interleaved_objects_beyond_the_window_are_refused_not_hoarded(make: Any) -> None:
    rows = sorted(make.rows(range(1, 40)), key=lambda row: float(row.split(",")[1]))
    path = make.write("t.csv", make.table(rows))
    errors: list[Any] = []
    assert list(read_plasticc(path, Metadata(), 1000, errors.append, 60, 500)) == []
    assert "Sort the table by object first" in str(errors[0])


def test_times_from_the_first_observation_are_recognised(make: Any, outcome: Any) -> None:
    rows = [row.replace(",596", ",").replace(",597", ",1") for row in make.rows((1,))]
    make.write("t.csv", make.table(rows))
    assert outcome([make.folder]).curves.time_reference == RELATIVE


def test_snana_text_gives_its_own_numbers_back(make: Any, outcome: Any) -> None:
    text = make.snana(7, sntype="22", spec="0.64 +- 0.005")
    make.write("DES_SN000007.DAT", text)
    curves = outcome([make.folder]).curves
    words = [line.split() for line in text.split("\n") if line.startswith("OBS:")]
    np.testing.assert_allclose(curves.time, [float(word[1]) for word in words])
    assert [curves.band[i] for i in curves.band_index] == [f"des_{word[2]}" for word in words]
    np.testing.assert_allclose(curves.flux, [float(word[4]) for word in words], rtol=1e-6)
    np.testing.assert_array_equal(curves.detected, curves.flux >= 5 * curves.flux_error)
    assert curves.label.tolist() == ["IIP"]
    np.testing.assert_allclose([curves.redshift[0], curves.redshift_error[0]], [0.6486, 0.0116], rtol=1e-6)
    np.testing.assert_allclose(curves.redshift_spec, [0.64], rtol=1e-6)
    np.testing.assert_allclose([curves.ra[0], curves.dec[0], curves.mwebv[0]], [34.5, -5.5, 0.0227], rtol=1e-6)


def test_the_final_redshift_is_photometric_only_without_a_spectroscopic_one(make: Any, outcome: Any) -> None:
    for name, spec in (("a", "-9.0 +- 9.0"), ("b", "0.64369 +- 0.005")):
        text = make.snana(1, spec=spec).replace("HOST_GALAXY_PHOTO-Z", "HOST_NOTHING")
        make.write(f"{name}/x.DAT", text)
    assert outcome([make.folder / "a"]).curves.redshift[0] == np.float32(0.64369)
    assert np.isnan(outcome([make.folder / "b"]).curves.redshift[0])


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "w:bz2"])
def test_an_archive_gives_what_its_folder_gives(make: Any, outcome: Any, mode: str) -> None:
    files = {f"DES_SN{name}.DAT": make.snana(name) for name in range(1, 6)}
    for name, text in files.items():
        make.write(f"folder/{name}", text)
    suffix = mode[2:]
    make.tar(f"all.tar.{suffix}".rstrip("."), files, mode)
    archive = next(make.folder.glob("all.tar*"))
    same(outcome([make.folder / "folder"]).curves, outcome([archive]).curves)


def test_labels_come_from_the_table_beside_the_archive(make: Any, outcome: Any) -> None:
    make.tar("a.tar.xz", {"1.DAT": make.snana(1), "2.DAT": make.snana(2, sntype="1")})
    make.write("labels.csv", "file,snid,sntype,true_type,z_sim\n1.DAT,1,-9,IIn,0.3\n")
    curves = outcome([make.folder / "a.tar.xz"]).curves
    assert curves.label.tolist() == ["IIn", "Ia"]


def test_a_fits_pair_gives_its_own_numbers_back(make: Any, outcome: Any) -> None:
    make.pair()
    result = outcome([make.folder])
    curves = result.curves
    assert result.errors == []
    assert curves.object_id.tolist() == ["11", "12", "13"]
    assert curves.row_size.tolist() == [3, 1, 2]
    # The last object's rows are out of order in the file.
    np.testing.assert_array_equal(curves.time, [56100, 56101, 56102, 56100, 56100, 56101])
    np.testing.assert_array_equal(curves.flux, [0, 10, 20, 40, 70, 60])
    assert [curves.band[i] for i in curves.band_index] == ["des_g", "des_r", "des_i", "des_g", "des_z", "des_i"]
    np.testing.assert_allclose(curves.redshift, [0.3, np.nan, 0.5], rtol=1e-6)
    assert curves.label.tolist() == ["Ia", "II", ""]


def test_a_compressed_fits_pair_gives_the_same_and_needs_only_one_name(make: Any, outcome: Any) -> None:
    make.pair("A")
    make.pair("B", suffix=".gz")
    same(outcome([make.folder / "A_HEAD.FITS"]).curves, outcome([make.folder / "B_PHOT.FITS.gz"]).curves)


def test_bts_magnitudes_become_fluxes_and_repeats_are_counted(make: Any, outcome: Any) -> None:
    text = make.bts(4)
    lines = text.strip().split("\n")
    repeat = lines[1].replace("0,", "9,", 1)  # the index column is no part of an observation
    make.tar("ANTARES.tar.gz", {"ANTARES/ZTF20a.csv": "\n".join([*lines, repeat]) + "\n"}, "w:gz")
    make.write("ZTF_BTS_labels.csv", make.bts_table(["ZTF20a"]))
    curves = outcome([make.folder]).curves
    magnitudes = np.array([float(line.split(",")[3]) for line in lines[1:]])
    errors = np.array([float(line.split(",")[4]) for line in lines[1:]])
    np.testing.assert_allclose(curves.flux, 10 ** (-0.4 * (magnitudes - 27.5)), rtol=1e-6)
    np.testing.assert_allclose(curves.flux_error, curves.flux * errors * np.log(10) / 2.5, rtol=1e-5)
    assert [curves.band[i] for i in curves.band_index] == ["ztf_g", "ztf_r", "ztf_g", "ztf_r"]
    assert curves.attrs["repeated_rows"] == 1
    assert curves.label.tolist() == ["SN Ia"]
    np.testing.assert_allclose([curves.ra[0], curves.dec[0]], [123.320625, 22.648306], rtol=1e-6)
    np.testing.assert_allclose([curves.mwebv[0], curves.redshift_spec[0]], [0.1, 0.05], rtol=1e-6)
    assert np.isnan(curves.redshift).all()
    assert curves.detected.all()


def test_an_alert_has_signed_fluxes_and_no_upper_limits(make: Any, outcome: Any) -> None:
    make.write("a.avro", make.alert("ZTF20abc"))
    curves = outcome([make.folder]).curves
    np.testing.assert_allclose(curves.time, [58999.0, 59000.0])
    np.testing.assert_allclose(curves.flux, [-(10**3.8), 10**3.8], rtol=1e-6)
    assert curves.detected.tolist() == [False, True]
    assert [curves.band[i] for i in curves.band_index] == ["ztf_r", "ztf_g"]
    assert curves.object_id.tolist() == ["ZTF20abc"]
    assert (curves.ra[0], curves.dec[0]) == (10, 20)


def test_packets_of_one_object_are_joined_and_their_shared_history_counts_once(make: Any, outcome: Any) -> None:
    packets = list(fastavro.reader(io.BytesIO(make.alert())))
    later = {**packets[0]}
    later["candidate"] = {**packets[0]["candidate"], "jd": 2459002.5}
    later["prv_candidates"] = [packets[0]["candidate"], *packets[0]["prv_candidates"]]
    stream = io.BytesIO()
    fastavro.writer(stream, fastavro.reader(io.BytesIO(make.alert())).writer_schema, [packets[0], later])
    make.write("night.avro", stream.getvalue())
    curves = outcome([make.folder]).curves
    assert len(curves) == 1
    np.testing.assert_allclose(curves.time, [58999.0, 59000.0, 59002.0])


def test_a_single_point_and_an_object_without_detection_are_kept(make: Any, outcome: Any) -> None:
    make.write("t.csv", make.table(["5,59600,1,3.0,1.0,0", "6,59600,1,3.0,1.0,0", "6,59601,2,3.0,1.0,0"]))
    result = outcome([make.folder])
    assert result.errors == []
    assert result.curves.row_size.tolist() == [1, 2]
    assert not result.curves.detected.any()


def test_different_surveys_never_share_a_chunk(make: Any, outcome: Any) -> None:
    make.write("1.DAT", make.snana(1))
    make.write("2.DAT", make.snana(2).replace("SURVEY: DES", "SURVEY: LSST"))
    make.write("ZTFx.csv", make.bts())
    surveys = [chunk.attrs["survey"] for chunk in outcome([make.folder]).chunks]
    assert sorted(surveys) == ["des", "lsst", "ztf"]
    assert len(list(groupby(surveys))) == 3


def test_reading_leaves_nothing_behind(make: Any, outcome: Any, tmp_path: Path, monkeypatch: Any) -> None:
    make.tar("a.tar.xz", {"1.DAT": make.snana(1)})
    make.pair(suffix=".gz")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = sorted(make.folder.rglob("*"))
    assert len(outcome([make.folder]).ids) == 4
    assert sorted(make.folder.rglob("*")) == before
    assert list(scratch.iterdir()) == []


def test_ids_are_remembered_across_merges() -> None:
    seen, known = SeenIds(), set[int]()
    rng = np.random.default_rng(0)
    for _ in range(50):
        ids = np.unique(rng.integers(0, 5000, 40))
        again = seen.add(ids)
        assert again.tolist() == [int(name) in known for name in ids]
        known |= set(ids.tolist())


def test_an_empty_buffer_gives_nothing() -> None:
    assert list(ObjectBuffer(Path("t.csv")).rest()) == []
