"""Where data and caches lie. Data are only read; everything the package makes goes below the cache."""

import os
from pathlib import Path


def cache_root() -> Path:
    """Folder for downloads, simulations and caches: ARMILLARY_CACHE, else the user's cache folder."""
    told = os.environ.get("ARMILLARY_CACHE")
    if told:
        return Path(told).expanduser()
    import pooch  # here: it would slow the start of every command

    return Path(pooch.os_cache("armillary"))


def download_root() -> Path:
    """Folder below the cache in which fetched and simulated datasets lie, laid out as a data root."""
    return cache_root() / "data"


def data_root(explicit: Path | None = None) -> Path:
    """Folder of the datasets: `explicit` (--data-root), else ARMILLARY_DATA, else below the cache."""
    if explicit is not None:
        return explicit.expanduser()
    told = os.environ.get("ARMILLARY_DATA")
    return Path(told).expanduser() if told else download_root()


def dataset_folder(root: Path, domain: str, card_id: str) -> Path:
    """`<root>/<domain>/<card id>`, the one layout of every data root."""
    return root / domain / card_id
