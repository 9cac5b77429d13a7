"""The files of simulated surveys and of the twins of real ones."""

import csv
import gzip
import hashlib
import io
import json
import os
import tarfile

import numpy as np
import pandas as pd
import pytest

from armillary.core.domain import ReadOptions
from armillary.core.errors import CardError
from armillary.core.simulations import read_stamp
from armillary.domains.transients import simulate as module
from armillary.domains.transients.read import read
from armillary.domains.transients.simulate import simulate
from armillary.domains.transients.simulation import LSST
from armillary.domains.transients.simulation.survey import simulate_objects
from armillary.domains.transients.simulation.write_plasticc import write_kaggle

CARDS = ("simulated_lsst", "simulated_ztf", "plasticc", "spcc", "ztf_bts")
every_card = pytest.mark.parametrize("card", CARDS)


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    root = tmp_path_factory.mktemp("twins")
    return {card: simulate(card, root, 0, "twin") for card in CARDS}


def digests(folder):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


@every_card
def test_the_same_call_gives_the_same_bytes_and_another_seed_others(card, twins, tmp_path):
    assert digests(simulate(card, tmp_path / "again", 0, "twin")) == digests(twins[card])
    assert digests(simulate(card, tmp_path / "other", 1, "twin")) != digests(twins[card])


@every_card
def test_a_twin_is_below_200_kb_and_lies_where_its_card_says(card, twins):
    folder = twins[card]
    assert folder.parts[-2:] == ("transients", card)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 200_000


@every_card
def test_a_stamp_tells_what_made_the_folder(card, twins):
    stamp = read_stamp(twins[card])
    assert (stamp.card, stamp.seed, stamp.size) == (card, 0, "twin")
    assert stamp.version >= 1
    assert stamp.broken


def test_a_folder_of_the_same_call_is_used_again_untouched(tmp_path):
    folder = simulate("ztf_bts", tmp_path, 0, "twin")
    os.utime(folder / "ZTF_BTS_labels.csv", (1, 1))
    assert simulate("ztf_bts", tmp_path, 0, "twin") == folder
    assert (folder / "ZTF_BTS_labels.csv").stat().st_mtime == 1


def test_a_folder_with_something_else_is_refused_with_advice(tmp_path):
    simulate("ztf_bts", tmp_path, 0, "twin")
    with pytest.raises(CardError, match=r"expected seed 1, size twin.*got seed 0.*\n  Remove that folder"):
        simulate("ztf_bts", tmp_path, 1, "twin")


def test_real_data_is_never_overwritten(tmp_path):
    real = tmp_path / "transients" / "spcc"
    real.mkdir(parents=True)
    (real / "photo_subset.tar.xz").write_text("precious")
    with pytest.raises(CardError, match=r"no readable simulation\.json"):
        simulate("spcc", tmp_path, 0, "twin")
    assert (real / "photo_subset.tar.xz").read_text() == "precious"


def test_nothing_is_left_behind_when_writing_fails(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_bts", full_disk)
    with pytest.raises(OSError, match="No space left"):
        simulate("ztf_bts", tmp_path, 0, "twin")
    assert list((tmp_path / "transients").iterdir()) == []


@pytest.mark.parametrize("card", ["plasticc", "spcc", "ztf_bts"])
def test_a_real_card_has_no_simulated_default(card, tmp_path):
    with pytest.raises(CardError, match=r"no simulated default.*\n.*data fetch.*twin"):
        simulate(card, tmp_path, 0, "default")


def test_an_unknown_card_gets_the_near_miss(tmp_path):
    with pytest.raises(CardError, match=r"did you mean 'simulated_lsst'"):
        simulate("simulated_lst", tmp_path, 0, "default")


def kaggle(folder, name="training_set.csv.gz", metadata="training_set_metadata.csv"):
    return pd.read_csv(folder / name), pd.read_csv(folder / metadata)


def test_the_lsst_twin_has_kaggles_columns_and_every_class(twins):
    curves, metadata = kaggle(twins["simulated_lsst"])
    assert list(curves) == ["object_id", "mjd", "passband", "flux", "flux_err", "detected"]
    assert " ".join(metadata) == (
        "object_id ra decl gal_l gal_b ddf hostgal_specz hostgal_photoz hostgal_photoz_err distmod mwebv target"
    )
    assert set(metadata.target) == {6, 15, 16, 42, 52, 53, 62, 64, 65, 67, 88, 90, 92, 95}
    assert metadata.groupby("target").size().min() >= 5
    assert set(curves.object_id) == set(metadata.object_id)
    galactic = metadata.hostgal_photoz == 0
    assert metadata.distmod[galactic].isna().all()
    assert metadata.distmod[~galactic].between(30, 50).all()


def test_only_the_broken_object_of_the_lsst_twin_has_an_unknown_passband(twins):
    for card, names in {
        "simulated_lsst": ("training_set.csv.gz", "training_set_metadata.csv"),
        "plasticc": ("training_set_sample10.csv.gz", "training_set_metadata_sample10.csv"),
    }.items():
        curves, _ = kaggle(twins[card], *names)
        wrong = curves[~curves.passband.between(0, 5)]
        assert set(wrong.object_id.astype(str)) == {read_stamp(twins[card]).broken}


def test_more_objects_leave_the_first_ones_unchanged(tmp_path):
    for number in (3, 6):
        write_kaggle(simulate_objects(LSST, 0, number), tmp_path / f"{number}.csv", tmp_path / f"{number}_meta.csv")
    for suffix in ("", "_meta"):
        few, many = ((tmp_path / f"{number}{suffix}.csv").read_text() for number in (3, 6))
        assert many.startswith(few)
        assert len(many) > len(few)


def test_the_plasticc_twin_speaks_zenodo_too(twins):
    folder = twins["plasticc"]
    curves, metadata = kaggle(folder, "plasticc_test_sniabcii_relmjd.csv.gz", "plasticc_test_sniabcii_metadata.csv")
    assert list(curves) == ["object_id", "mjd", "passband", "flux", "flux_err", "detected_bool"]
    assert (curves.groupby("object_id").mjd.min() == 0).all()
    assert {"ddf_bool", "true_target", "true_z", "tflux_y"} <= set(metadata)
    assert not {"ddf", "gal_l"} & set(metadata)
    assert (metadata.hostgal_specz == -9).any()
    assert set(metadata.target) == {42, 62, 90}
    with gzip.open(folder / "plasticc_train_metadata.csv.gz", "rt") as stream:
        assert ", " in stream.readlines()[1]  # values are padded with spaces, as in the release


def members(path):
    with tarfile.open(path) as archive:
        return {item.name: archive.extractfile(item).read().decode() for item in archive}


def test_the_ztf_twin_has_detections_in_magnitudes_and_labels_with_bounds(twins):
    folder = twins["ztf_bts"]
    broken = read_stamp(folder).broken
    tables = members(folder / "ANTARES_lightcurves.tar.gz")
    for name, text in tables.items():
        table = pd.read_csv(io.StringIO(text), index_col=0)
        assert len(table) >= 5
        if broken in name:
            assert "ant_magerr" not in table
            continue
        assert list(table) == ["ant_mjd", "ant_passband", "ant_mag", "ant_magerr"]
        assert set(table.ant_passband) <= {"g", "R"}
        assert table.ant_mag.between(10, 22).all()
        assert (table.ant_magerr <= 1.0857 / 5 + 1e-3).all()
    labels = list(csv.DictReader(io.StringIO((folder / "ZTF_BTS_labels.csv").read_text())))
    assert {f"ANTARES/{row['ZTFID']}.csv" for row in labels} == set(tables)
    assert any(row["duration"].startswith(">") for row in labels)
    assert all(row["RA"].count(":") == 2 and row["Dec"][0] in "+-" for row in labels)
    assert min(float(row["peakmag"]) for row in labels) < 19


def test_the_spcc_twin_has_snana_headers_and_one_file_that_ends_too_early(twins):
    folder = twins["spcc"]
    broken = read_stamp(folder).broken
    labels = pd.read_csv(folder / "labels.csv.gz")
    texts = members(folder / "spectro_train.tar.xz") | members(folder / "photo_subset.tar.xz")
    assert {name.split("/")[1] for name in texts} == set(labels.file)
    for name, text in texts.items():
        number = int(text.split("NOBS:")[1].split()[0]) if "NOBS:" in text else -1
        whole = text.rstrip().endswith("END:") and text.count("\nOBS:") == number
        assert whole == (broken not in name)
    photometric = labels[labels["sample"] == "photo"]
    assert (photometric.sntype == -9).all()
    assert (photometric.z_spec == -9).all()
    listed = (folder / "spectro.list").read_text().split()
    assert listed == list(labels.file[labels["sample"] == "spectro"])


def test_archives_hold_no_clock_and_no_user(twins):
    for path in (twins["spcc"] / "photo_subset.tar.xz", twins["ztf_bts"] / "ANTARES_lightcurves.tar.gz"):
        with tarfile.open(path) as archive:
            assert {(item.mtime, item.uid, item.uname) for item in archive} == {(0, 0, "")}


def test_a_damaged_stamp_is_no_stamp(tmp_path):
    (tmp_path / "simulation.json").write_text(json.dumps({"card": "spcc"}))
    assert read_stamp(tmp_path) is None


def test_detection_flags_of_the_twin_are_five_sigma(twins):
    curves, _ = kaggle(twins["simulated_lsst"])
    np.testing.assert_array_equal(curves.detected == 1, curves.flux.abs() >= 5 * curves.flux_err)


@every_card
def test_the_reader_takes_a_twin_and_reports_the_broken_item_alone(card, twins):
    problems = []
    chunks = list(read([twins[card]], ReadOptions(report=problems.append)))
    stamp = read_stamp(twins[card])
    assert [problem.item for problem in problems] == [stamp.broken]
    assert stamp.objects - 1 <= sum(chunk.sizes["object"] for chunk in chunks) <= stamp.objects
    assert all((chunk.label != "").all() for chunk in chunks)
