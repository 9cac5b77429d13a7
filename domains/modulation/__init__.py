"""Modulation recognition: what kind of signal a frame of samples holds. DOMAIN is what the pipelines see."""

from armillary.core.domain import Domain, Lazy

_HOME = "armillary.domains.modulation"

DOMAIN = Domain(
    name="modulation",
    title="Modulation recognition",
    summary="the kind of modulation of radio signals, from frames of complex samples and from recordings",
    cards="armillary.data_cards.modulation",
    recipes={
        name: Lazy(f"{_HOME}.recipes:{name.replace('-', '_')}")
        for name in (
            "clst-rml2016a", "clst-rml2018", "kd-cnn-rml2016a", "kd-mobilenet-rml2016a", "mcldnn-rml2016a",
            "pet-cgdnn-rml2016a", "ssm-rml2016a", "satellites", "simulated",
        )
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
    streams={".csv": Lazy(f"{_HOME}.write:stream_csv"), ".sigmf-meta": Lazy(f"{_HOME}.write:stream_sigmf")},
    joint_figures=Lazy(f"{_HOME}.figures:joint_figures"),
    formats=(".csv", ".nc", ".zarr", ".sigmf-meta"),
    figures=Lazy(f"{_HOME}.figures:figures"),
    simulate=Lazy(f"{_HOME}.simulate:simulate"),
    example_batch=Lazy(f"{_HOME}.build:example_batch"),
    protocol=Lazy(f"{_HOME}.splits:protocol"),
)  # fmt: skip
