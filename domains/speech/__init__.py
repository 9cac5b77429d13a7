"""Speech separation: the voices of one recording. DOMAIN is what the pipelines see."""

from armillary.core.domain import Domain, Lazy

_HOME = "armillary.domains.speech"

DOMAIN = Domain(
    name="speech",
    title="Speech separation",
    summary="each voice of a recording of several, in files of any length and in streams",
    cards="armillary.data_cards.speech",
    recipes={
        name: Lazy(f"{_HOME}.recipes:{name.replace('-', '_')}")
        for name in (
            "mossformer-l", "mossformer-m", "mossformer-s", "mossformer2-l", "conv-tasnet", "ssm", "ssm-causal",
            "small", "simulated",
        )
    },
    read=Lazy(f"{_HOME}.read:read"),
    uses=Lazy(f"{_HOME}.data:uses"),
    datasets=Lazy(f"{_HOME}.data:datasets"),
    items=Lazy(f"{_HOME}.data:items"),
    build=Lazy(f"{_HOME}.build:build"),
    trunk_needs=Lazy(f"{_HOME}.build:trunk_needs"),
    assemble=Lazy(f"{_HOME}.assemble:assemble"),
    metrics=Lazy(f"{_HOME}.metrics:metrics"),
    quick=Lazy(f"{_HOME}.metrics:quick"),
    baselines=Lazy(f"{_HOME}.baselines:baselines"),
    write=Lazy(f"{_HOME}.write:write"),
    streams={
        "": Lazy(f"{_HOME}.writers:stream_folder"),
        ".wav": Lazy(f"{_HOME}.writers:stream_single"),
        ".flac": Lazy(f"{_HOME}.writers:stream_single"),
        ".csv": Lazy(f"{_HOME}.writers:stream_csv"),
    },
    formats=("", ".wav", ".flac", ".csv", ".nc"),
    figures=Lazy(f"{_HOME}.figures:figures"),
    sounds=Lazy(f"{_HOME}.figures:sounds"),
    seconds=Lazy(f"{_HOME}.duration:seconds"),
    simulate=Lazy(f"{_HOME}.simulate:simulate"),
    example_batch=Lazy(f"{_HOME}.build:example_batch"),
    protocol=Lazy(f"{_HOME}.splits:protocol"),
    commands={"mix": Lazy(f"{_HOME}.commands.mix:main")},
    run_commands={"stream": Lazy(f"{_HOME}.commands.stream:main")},
)  # fmt: skip
