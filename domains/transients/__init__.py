"""Astronomical transients: which kind of event a light curve shows. DOMAIN is what the pipelines see."""

from armillary.core.domain import Domain, Lazy

_HOME = "armillary.domains.transients"

DOMAIN = Domain(
    name="transients",
    title="Astronomical transients",
    summary="classes of supernovae and other transients from multi-band light curves",
    cards="armillary.data_cards.transients",
    recipes={
        name: Lazy(f"{_HOME}.recipes:{name.replace('-', '_')}")
        for name in ("t2-plasticc", "t2-spcc", "t2-ztf", "raw-spcc", "raw-ztf", "raw-plasticc", "simulated")
    },
    read=Lazy(f"{_HOME}.read:read"),
    uses=Lazy(f"{_HOME}.recipes:uses"),
    datasets=Lazy(f"{_HOME}.data:datasets"),
    items=Lazy(f"{_HOME}.data:items"),
    build=Lazy(f"{_HOME}.build:build"),
    trunk_needs=Lazy(f"{_HOME}.build:trunk_needs"),
    assemble=Lazy(f"{_HOME}.assemble:assemble"),
    metrics=Lazy(f"{_HOME}.metrics:metrics"),
    baselines=Lazy(f"{_HOME}.baselines:baselines"),
    write=Lazy(f"{_HOME}.write:write"),
    formats=(".csv", ".nc", ".zarr"),
    figures=Lazy(f"{_HOME}.figures:figures"),
    simulate=Lazy(f"{_HOME}.simulate:simulate"),
    example_batch=Lazy(f"{_HOME}.build:example_batch"),
    protocol=Lazy(f"{_HOME}.splits:protocol"),
)
