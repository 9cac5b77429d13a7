"""Medical imaging: findings on images, masks of structures, pre-training. DOMAIN is what the pipelines see."""

from armillary.core.domain import Domain, Lazy

_HOME = "armillary.domains.medical"

DOMAIN = Domain(
    name="medical",
    title="Medical imaging",
    summary="findings and masks on images and volumes, with splits by patient; not for diagnosis",
    cards="armillary.data_cards.medical",
    recipes={
        name: Lazy(f"{_HOME}.recipes:{name.replace('-', '_')}")
        for name in (
            "mae-pretrain-vit-s", "vit-s-cxr14", "vit-b-cxr14", "vim-tiny", "vmamba-tiny", "medmamba-tiny",
            "pneumoniamnist", "vm-unet", "u-mamba-enc", "u-mamba-bot", "chase", "simulated",
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
    streams={".csv": Lazy(f"{_HOME}.write:stream_csv"), "": Lazy(f"{_HOME}.write:stream_folder")},
    formats=(".csv", ".nc", ""),
    figures=Lazy(f"{_HOME}.figures:figures"),
    simulate=Lazy(f"{_HOME}.simulate:simulate"),
    example_batch=Lazy(f"{_HOME}.build:example_batch"),
    quick=Lazy(f"{_HOME}.recipes:quick"),
    protocol=Lazy(f"{_HOME}.splits:protocol"),
)  # fmt: skip
