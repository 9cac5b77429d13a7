"""What `predict` writes chunk by chunk and what at the end, into folders too, and what it says of time and memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import xarray as xr

from armillary.core.domain import Domain
from armillary.core.errors import DataError, RunError
from armillary.pipelines import Run, train
from armillary.pipelines.predict import Summary, predict

Change = Callable[..., None]


@pytest.fixture
def trained(toy: Path) -> Run:
    """A finished toy run."""
    return train("toy/simulated", out=toy / "run", quiet=True, epochs=1)


@pytest.fixture
def waves(trained: Run, toy: Path) -> Path:
    """A folder of 200 waves."""
    return toy / "cache" / "data" / "toy" / "waves"


@pytest.fixture
def change(toy: Path, monkeypatch: pytest.MonkeyPatch) -> Change:
    """Gives the installed toy domain other fields."""
    import armillary_toy

    def changed(**fields: object) -> None:
        domain: Domain = armillary_toy.DOMAIN
        monkeypatch.setattr(armillary_toy, "DOMAIN", replace(domain, **fields))

    return changed


@contextmanager
def one_file_a_chunk(path: Path) -> Iterator[Callable[[xr.Dataset], None]]:
    """A folder with the ids of each chunk in a file; 'end' when the block ends well."""
    path.mkdir(exist_ok=True)
    count = 0

    def append(prediction: xr.Dataset) -> None:
        nonlocal count
        (path / f"{count}.txt").write_text(" ".join(prediction["item"].values))
        count += 1

    yield append
    (path / "end").write_text("")


def test_a_folder_takes_chunks_beside_a_file_that_needs_all(trained: Run, waves: Path, toy: Path, change: Change):
    change(formats=("", ".csv", ".nc"), streams={"": one_file_a_chunk})
    (toy / "voices").mkdir()
    (toy / "voices" / "mine.txt").write_text("stays")
    summary = predict(trained, [waves], [toy / "voices", toy / "all.nc"], chunk_items=80)
    assert sorted(path.name for path in (toy / "voices").iterdir()) == ["0.txt", "1.txt", "2.txt", "end", "mine.txt"]
    with xr.open_dataset(toy / "all.nc") as written:
        ids = [name for n in range(3) for name in (toy / "voices" / f"{n}.txt").read_text().split()]
        assert written["item"].values.tolist() == ids
    assert len(ids) == summary.items == 200
    assert summary.written == [toy / "voices", toy / "all.nc"]


def test_a_file_that_cannot_be_streamed_is_not_lost_with_a_folder_that_fails(
    trained: Run, waves: Path, toy: Path, change: Change
):
    @contextmanager
    def failing(path: Path) -> Iterator[Callable[[xr.Dataset], None]]:
        yield lambda prediction: None
        raise OSError(28, "No space left on device")

    change(formats=("", ".csv"), streams={"": failing})
    with pytest.raises(OSError, match="No space left"):
        predict(trained, [waves], [toy / "voices", toy / "all.csv"])
    assert not (toy / "all.csv").exists()


def test_a_name_without_suffix_is_refused_where_no_folder_is_written(
    trained: Run, waves: Path, toy: Path, change: Change
):
    with pytest.raises(RunError, match=r"cannot write 'voices'. toy writes \.csv, \.nc\."):
        predict(trained, [waves], [toy / "voices"])
    change(formats=("", ".csv"), streams={"": one_file_a_chunk})
    with pytest.raises(RunError, match=r"toy writes a folder \(a name without suffix\), \.csv\."):
        predict(trained, [waves], [toy / "voices.xls"])


def test_a_problem_of_the_temporary_file_is_told_with_the_name_that_was_asked_for(
    trained: Run, waves: Path, toy: Path, change: Change
):
    def full(prediction: xr.Dataset, path: Path) -> None:
        raise DataError("needs more room", path=path, advice="Make room.")

    change(write=full)
    with pytest.raises(DataError) as caught:
        predict(trained, [waves], [toy / "p.csv"])
    assert str(caught.value) == f"{toy / 'p.csv'}: needs more room\n  Make room."


@pytest.mark.parametrize("count", [0, -3])
def test_chunks_without_items_are_refused(trained: Run, waves: Path, toy: Path, count: int):
    with pytest.raises(RunError, match=f"--chunk-items {count}: expected 1 or more"):
        predict(trained, [waves], [toy / "p.csv"], chunk_items=count)


def test_an_input_is_never_replaced_by_the_output(trained: Run, waves: Path, toy: Path):
    file = next(path for path in waves.rglob("*") if path.is_file())
    copy = toy / f"{file.stem}.csv"
    copy.write_bytes(file.read_bytes())
    with pytest.raises(RunError, match="is an input, which the output would replace"):
        predict(trained, [copy], [toy / "sub" / ".." / copy.name])
    assert copy.read_bytes() == file.read_bytes()


def test_time_and_memory_are_told(trained: Run, waves: Path, toy: Path):
    summary = predict(trained, [waves], [toy / "p.csv"])
    assert summary.wall_s > 0
    assert summary.peak_bytes is not None
    assert summary.peak_bytes > 1e7
    assert summary.signal_s is None
    assert summary.real_time_factor is None
    assert str(summary).splitlines()[-1].endswith(f" s, peak memory {summary.peak_bytes / 1e6:.0f} MB")


def test_seconds_of_all_chunks_give_the_real_time_factor(trained: Run, waves: Path, toy: Path, change: Change):
    change(seconds=lambda prediction: 0.5 * prediction.sizes["item"])
    summary = predict(trained, [waves], [toy / "p.csv"], chunk_items=64)
    assert summary.signal_s == pytest.approx(100.0)
    assert summary.real_time_factor == pytest.approx(summary.wall_s / 100)


def test_a_summary_reads_well():
    done = Summary(items=3, written=[Path("p.csv")], wall_s=20.0, signal_s=200.0, peak_bytes=5e8)
    assert str(done) == (
        "3 items predicted, 0 problems; wrote p.csv\n"
        "20.0 s for 200.0 s of signal (real-time factor 0.1), peak memory 500 MB"
    )
    assert str(Summary()) == "0 items predicted, 0 problems; wrote nothing"
