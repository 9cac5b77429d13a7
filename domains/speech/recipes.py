"""The recipes: functions that return a complete run configuration."""

from armillary.core.config import EvaluateSettings, OptimSettings, TrainSettings
from armillary.core.config.channels import MLPSettings
from armillary.core.config.hybrid import hybrid_notation, hybrid_stage
from armillary.core.config.mixers import FSMNSettings, GatedAttentionSettings, Mamba2Settings, MixerSettings
from armillary.core.config.norms import NoNormSettings, RMSNormSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.domains.speech.settings import DynamicSettings, SpeechData, SpeechPredict, SpeechRun
from armillary.domains.speech.systems.settings import (
    ConvTasNetSettings,
    FilterbankSettings,
    FourierSettings,
    MaskTrunkSettings,
    SystemSettings,
)

# The published networks' benchmark in open form; data.card=wsj0_mix is the one whose numbers are told below.
_LIBRIMIX = SpeechData(card="librimix")
_MINI = SpeechData(card="libri2mix_mini", dynamic=DynamicSettings())
# As released: Adam, gradient norm 10, the rate halved after five epochs without gain. Released training goes on from
# the best weights then, and adds up the gradients of four batches; neither is done here.
_RELEASED = OptimSettings(
    algorithm="adam", lr=1.5e-4, weight_decay=0.0, clip_norm=10.0, schedule="plateau", plateau_factor=0.5,
    plateau_patience=5, plateau_cooldown=0, warmup_steps=0,
)  # fmt: skip
_OURS = OptimSettings(
    algorithm="muon", lr=2e-3, weight_decay=0.01, betas=(0.9, 0.98), clip_norm=5.0, warmup_steps=200,
    average_decay=0.998,
)  # fmt: skip
_EVALUATE = EvaluateSettings(batch_size=4)
_SPECTRA = FourierSettings(kernel=256, stride=128)  # 32 ms every 16 ms at 8 kHz


def _mossformer(width: int, depth: int, pattern: tuple[MixerSettings, ...], filters: int = 512) -> MaskTrunkSettings:
    """MossFormer's blocks norm and scale by themselves, so the trunk adds them up and no more."""
    return MaskTrunkSettings(
        filterbank=FilterbankSettings(filters=filters),
        trunk=TrunkSettings(
            width=width, depth=depth, pattern=pattern, channel=None, norm=NoNormSettings(), final_norm=False
        ),
    )


def _published(name: str, model: SystemSettings, epochs: int = 200) -> SpeechRun:
    return SpeechRun(
        recipe=f"speech/{name}",
        data=_LIBRIMIX,
        model=model,
        optim=_RELEASED,
        train=TrainSettings(epochs=epochs, batch_size=1, patience=10),
        evaluate=_EVALUATE,
    )


def mossformer_l() -> SpeechRun:
    """MossFormer (L), 24 blocks of 512 features, two voices at 8 kHz (arXiv 2302.11824): 42,101,834 parameters.

    Reported: 22.8 dB SI-SDRi on WSJ0-2mix with dynamic mixing; needs a GPU and days.
    """
    return _published("mossformer-l", _mossformer(512, 24, (GatedAttentionSettings(),)))


def mossformer_m() -> SpeechRun:
    """MossFormer (M) (arXiv 2302.11824): 22.5 dB SI-SDRi on WSJ0-2mix with dynamic mixing are reported.

    Its 25 blocks of 384 features behind 512 filters are inferred from the 25.3 M parameters that are reported
    (these have 25,297,997), not told by the authors.
    """
    return _published("mossformer-m", _mossformer(384, 25, (GatedAttentionSettings(),)))


def mossformer_s() -> SpeechRun:
    """MossFormer (S) (arXiv 2302.11824): 20.9 dB SI-SDRi on WSJ0-2mix are reported.

    Its 23 blocks of 256 features behind 256 filters are inferred from the 10.8 M parameters that are reported
    (these have 10,808,135), not told by the authors.
    """
    return _published("mossformer-s", _mossformer(256, 23, (GatedAttentionSettings(),), filters=256))


def mossformer2_l() -> SpeechRun:
    """MossFormer2 (L): a gated FSMN memory behind each of 24 blocks (arXiv 2312.11825): 55,735,394 parameters.

    Reported: 24.1 dB SI-SDRi on WSJ0-2mix with dynamic mixing; needs a GPU and days.
    """
    return _published("mossformer2-l", _mossformer(512, 48, (GatedAttentionSettings(), FSMNSettings())), epochs=120)


def conv_tasnet() -> SpeechRun:
    """Conv-TasNet in its best form (arXiv 1809.07454), the classical peer: 5.0 M parameters.

    Reported: 15.3 dB SI-SDRi on WSJ0-2mix. Adam at 1e-3, halved after three flat epochs, gradient norm 5, segments of
    4 s, as in the paper.
    """
    run = _published("conv-tasnet", ConvTasNetSettings(), epochs=100)
    optim = _RELEASED.model_copy(update={"lr": 1e-3, "clip_norm": 5.0, "plateau_patience": 3})
    train = run.train.model_copy(update={"batch_size": 4})
    return run.model_copy(
        update={"optim": optim, "train": train, "data": _LIBRIMIX.model_copy(update={"segment_s": 4.0})}
    )


def ssm() -> SpeechRun:
    """Mamba-2 both ways along time, with a gated attention in seven mixers, in MossFormer's frame. Our own.

    Unpublished: no number is expected yet. Cost grows with length, not with its square.
    """
    letters: dict[str, MixerSettings] = {"M": Mamba2Settings(bidirectional=True), "*": GatedAttentionSettings()}
    stage = hybrid_stage(hybrid_notation(28), letters, MLPSettings(ratio=2.0))
    trunk = TrunkSettings(width=256, stages=(stage,), norm=RMSNormSettings(), final_norm=False)
    model = MaskTrunkSettings(filterbank=FilterbankSettings(filters=256), trunk=trunk, positions=False)
    return SpeechRun(
        recipe="speech/ssm",
        data=_LIBRIMIX,
        model=model,
        optim=_OURS,
        train=TrainSettings(epochs=100, batch_size=4, patience=20),
        evaluate=_EVALUATE,
    )


def ssm_causal() -> SpeechRun:
    """Causal Mamba-2 blocks for streams: 15 samples of latency, 1.9 ms at 8 kHz, and 20 ms hops in real time. Our own.

    Positions are left out: a stream may last for hours. No number is expected yet.
    """
    trunk = _mamba(192, 8, Mamba2Settings(state=32))
    model = MaskTrunkSettings(filterbank=FilterbankSettings(filters=256), trunk=trunk, positions=False, norm="step")
    return SpeechRun(
        recipe="speech/ssm-causal",
        data=_MINI,
        model=model,
        optim=_OURS,
        train=TrainSettings(epochs=20, batch_size=4),
        evaluate=_EVALUATE,
    )


def small() -> SpeechRun:
    """A small separator that two cores can train: Mamba-2 both ways over spectra every 16 ms. Our own.

    Its masks stand on a short-time Fourier transform, which need not be learned first and has an eighth of the steps
    of a filterbank of 2 ms. Measured: 12 minutes of one core give what benchmarks/speech.py tells, beside a Conv-TasNet
    of as many parameters.
    """
    trunk = _mamba(160, 7, Mamba2Settings(state=32, head_width=40, bidirectional=True))
    return SpeechRun(
        recipe="speech/small",
        data=SpeechData(card="libri2mix_mini", segment_s=3.0, dynamic=DynamicSettings(mixtures=1600)),
        model=MaskTrunkSettings(filterbank=_SPECTRA, trunk=trunk, positions=False),
        optim=_OURS,
        train=TrainSettings(epochs=9, batch_size=4),
        evaluate=_EVALUATE,
    )


def simulated() -> SpeechRun:
    """A tiny separator on synthetic voices: the demo's short run. Results are of simulated data."""
    trunk = _mamba(64, 3, Mamba2Settings(state=16, head_width=32, bidirectional=True))
    return SpeechRun(
        recipe="speech/simulated",
        data=SpeechData(card="simulated_voices", segment_s=2.0, dynamic=DynamicSettings(mixtures=480)),
        model=MaskTrunkSettings(filterbank=_SPECTRA, trunk=trunk, positions=False),
        optim=_OURS.model_copy(update={"lr": 4e-3, "warmup_steps": 20, "average_decay": 0.98}),
        train=TrainSettings(epochs=4, batch_size=8),
        evaluate=_EVALUATE,
        predict=SpeechPredict(scores=("si_sdr", "stoi")),
    )


def _mamba(width: int, depth: int, mixer: Mamba2Settings) -> TrunkSettings:
    return TrunkSettings(
        width=width, depth=depth, pattern=(mixer,), channel=None, norm=RMSNormSettings(), final_norm=False
    )
