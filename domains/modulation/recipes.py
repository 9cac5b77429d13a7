"""The recipes: functions that return a complete run configuration."""

from armillary.core.config import DistillSettings, OptimSettings, TrainSettings
from armillary.core.config.mixers import Mamba2Settings
from armillary.core.config.trunk import TrunkSettings
from armillary.domains.modulation.classes import RML2016A, RML2018, SATELLITE
from armillary.domains.modulation.settings import (
    AugmentSettings,
    GeneratorSettings,
    ModulationData,
    ModulationPredict,
    ModulationRun,
)
from armillary.domains.modulation.systems.settings import (
    ClSTSettings,
    KDCNNSettings,
    KDMobileNetSettings,
    MCLDNNSettings,
    PETCGDNNSettings,
    SequenceSettings,
    SystemSettings,
)

_AUGMENT = AugmentSettings(rotate=True, conjugate=True, reverse=True, noise=0.3)
_RML2016A = ModulationData(card="rml2016a", classes=RML2016A, augment=_AUGMENT)
_RML2018 = ModulationData(
    card="rml2018",
    classes=RML2018,
    length=1024,
    sample_rate_hz=1e6,
    snr_labels=tuple(float(snr) for snr in range(-20, 32, 2)),
)
# The benchmark's Adam at 1e-3, halved after five flat epochs, trains every network of this domain.
_BENCHMARK = OptimSettings(
    algorithm="adam", lr=1e-3, weight_decay=0.0, schedule="plateau", plateau_factor=0.5, plateau_patience=5,
    plateau_cooldown=0, warmup_steps=0,
)  # fmt: skip
_STUDENT = OptimSettings(algorithm="adamw", lr=2e-3, weight_decay=0.01, warmup_steps=100, average_decay=0.998)
_SMALL = ClSTSettings(widths=(24, 48), depths=(1, 1), heads=(1, 3), kernels=(7, 3), drop_path=0.0)
_CLST_OPTIM = OptimSettings(
    algorithm="muon", lr=4e-3, weight_decay=0.05, betas=(0.9, 0.98), warmup_steps=100, average_decay=0.998
)


def _run(name: str, model: SystemSettings, optim: OptimSettings, epochs: int, batch_size: int = 128) -> ModulationRun:
    return ModulationRun(
        recipe=f"modulation/{name}",
        data=_RML2016A,
        model=model,
        optim=optim,
        train=TrainSettings(epochs=epochs, batch_size=batch_size, patience=50),
    )


def clst_rml2016a() -> ModulationRun:
    """ClST on RML2016.10a or its look-alike (data.card=rml2016a_regen), 11 classes.

    arXiv 2312.17446 has no public code: the network follows its abstract, and no number of the paper is compared.
    Expected: above MCLDNN and PET-CGDNN at the same processor time on few frames.
    """
    return _run("clst-rml2016a", ClSTSettings(), _CLST_OPTIM, epochs=60)


def clst_rml2018() -> ModulationRun:
    """ClST on RML2018.01a, 24 classes of 1,024 samples (arXiv 2312.17446; see clst-rml2016a)."""
    return ModulationRun(
        recipe="modulation/clst-rml2018",
        data=_RML2018,
        model=ClSTSettings(),
        optim=_CLST_OPTIM,
        train=TrainSettings(epochs=20, batch_size=256),
        predict=ModulationPredict(window=1024),
    )


def mcldnn_rml2016a() -> ModulationRun:
    """MCLDNN on RML2016.10a (IEEE WCL 2020): 406,199 parameters; 61.0 to 61.7 % mean accuracy are reported."""
    return _run("mcldnn-rml2016a", MCLDNNSettings(), _BENCHMARK, epochs=200, batch_size=400)


def pet_cgdnn_rml2016a() -> ModulationRun:
    """PET-CGDNN on RML2016.10a (arXiv 2110.04980): 71,871 parameters; 60.1 to 61.0 % mean accuracy are reported."""
    return _run("pet-cgdnn-rml2016a", PETCGDNNSettings(), _BENCHMARK, epochs=200, batch_size=400)


def kd_cnn_rml2016a() -> ModulationRun:
    """The small convolutional student of signal knowledge distillation (arXiv 2312.17446) on RML2016.10a.

    Needs a teacher: distill.run names a finished run of clst-rml2016a; distill=null trains it alone.
    """
    return _student("kd-cnn-rml2016a", KDCNNSettings())


def kd_mobilenet_rml2016a() -> ModulationRun:
    """The small student of inverted residual blocks (arXiv 2312.17446) on RML2016.10a; see kd-cnn-rml2016a."""
    return _student("kd-mobilenet-rml2016a", KDMobileNetSettings())


def _student(name: str, model: SystemSettings) -> ModulationRun:
    teacher = DistillSettings(teacher="modulation/clst-rml2016a", temperature=1.0, share=0.9)
    return _run(name, model, _STUDENT, epochs=60).model_copy(update={"distill": teacher})


def ssm_rml2016a() -> ModulationRun:
    """A strided convolution and Mamba-2 blocks, both ways along the frame, on RML2016.10a. Our own, unpublished."""
    trunk = TrunkSettings(
        width=64, depth=4, pattern=(Mamba2Settings(head_width=32, state=32, bidirectional=True),), channel=None
    )
    return _run("ssm-rml2016a", SequenceSettings(trunk=trunk), _CLST_OPTIM, epochs=60)


def satellites() -> ModulationRun:
    """A small ClST on receiver audio of satellites, AFSK, BPSK and FSK: trained on simulated audio, tested on real.

    Measured: all 43 recordings named right by the mean of their windows, 93 % of single windows; the guide says what
    that is worth.
    """
    return ModulationRun(
        recipe="modulation/satellites",
        data=ModulationData(
            card="satellite_recordings",
            classes=SATELLITE,
            fractions=(0.0, 0.0, 1.0),
            snr_labels=tuple(float(snr) for snr in range(4, 36, 4)),
            length=1024,
            sample_rate_hz=48e3,
            generator=GeneratorSettings(train_per_key=400, validation_per_key=60, noise="calibrated"),
        ),
        model=_SMALL,
        optim=_CLST_OPTIM,
        train=TrainSettings(epochs=6, batch_size=64),
        predict=ModulationPredict(window=1024),
    )


def simulated() -> ModulationRun:
    """A small ClST on frames of our own generator: the demo's short run. Results are of simulated data."""
    return ModulationRun(
        recipe="modulation/simulated",
        data=_RML2016A.model_copy(update={"card": "simulated_rml2016a"}),
        model=_SMALL,
        optim=_CLST_OPTIM.model_copy(update={"warmup_steps": 20, "average_decay": 0.99}),
        train=TrainSettings(epochs=6, batch_size=128),
    )


def uses(config: ModulationRun) -> tuple[str, ...]:
    """The one card that a run reads."""
    return (config.data.card,)
