"""ClST: stages of convolutional embedding and of attention over time beside a gate of the channels."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.channels import ConvMLPSettings
from armillary.core.config.mixers import PSCASettings
from armillary.core.config.norms import BatchNormSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.convolutions import ShortConv
from armillary.core.domain import TrunkNeeds
from armillary.core.errors import ConfigError
from armillary.core.norms import BatchNorm
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary.domains.modulation.systems.settings import ClSTSettings


class ClST(nn.Module):
    """Frames (b, 2, l) to class scores (b, k), for any l: embedding, trunk, mean over time, norm, linear map.

    The stages, and that attention acts over time and over channels in parallel on convolutional projections, are the
    paper's; sizes and the order inside a block are ours, so this is no reproduction of its numbers. A trunk that is
    handed in takes tokens of the first stage's width.

    References:
        Hou et al. 2024, "ClST: a convolutional transformer framework for automatic modulation recognition by
        knowledge distillation".
    """

    def __init__(self, settings: ClSTSettings, classes: int, length: int, trunk: nn.Module | None = None) -> None:
        super().__init__()
        self.embed = RailEmbedding(settings.widths[0], settings.kernels[0])
        self.trunk = trunk or Trunk(clst_trunk(settings))
        width: int = self.trunk.output_width  # pyright: ignore[reportAssignmentType]
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Linear(width, classes)

    def forward(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b k"]:
        return self.classify(self.features(iq))

    def features(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b f"]:
        """Mean over time of the last tokens, normed: what the last linear map reads."""
        tokens, _ = self.trunk(self.embed(iq))
        return self.norm(tokens.values.mean(1))

    def after_step(self) -> None:
        """Folds the moments of the batch norms."""
        self.embed.norm.after_step()
        fold = getattr(self.trunk, "after_step", None)
        if fold is not None:
            fold()


class RailEmbedding(nn.Module):
    """gelu(norm(convolution)) of both rails, one token for every two samples.

    I and Q are two rows under one kernel of 2 x `kernel`. It has only one place along the rows, so that it is a
    convolution along time of two input channels, written as such here.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.convolve = ShortConv(2, width, kernel, stride=2, bias=False)
        self.norm = BatchNorm(width, BatchNormSettings())

    def forward(self, iq: Float[Tensor, "b 2 l"]) -> Tokens:
        return Tokens(functional.gelu(self.norm(self.convolve(iq.mT))))


def clst_trunk(settings: ClSTSettings) -> TrunkSettings:
    """Stages that halve the tokens, each of parallel attention, or of as many of the pattern's mixers as it is deep.

    Raises ConfigError for a pattern longer than the deepest stage, and for an even kernel.
    """
    _check(settings)
    stages = tuple(
        StageSettings(
            depth=depth,
            width=width,
            pattern=settings.pattern[:depth] or (PSCASettings(heads=settings.heads[index]),),
            resample="conv2" if index else "none",
            kernel=settings.kernels[index] if index else 3,
        )
        for index, (depth, width) in enumerate(zip(settings.depths, settings.widths, strict=True))
    )
    return TrunkSettings(
        width=settings.widths[0],
        stages=stages,
        channel=ConvMLPSettings(ratio=settings.ratio),
        dropout=settings.dropout,
        dropout_shared=True,
        drop_path=settings.drop_path,
        final_norm=False,
    )


def _check(settings: ClSTSettings) -> None:
    if len(settings.pattern) > max(settings.depths):
        raise ConfigError(
            f"model.pattern has {len(settings.pattern)} mixers for stages of {settings.depths} blocks, so the last "
            "would never be built.\n  Shorten model.pattern, or set model.depths."
        )
    if any(kernel % 2 == 0 for kernel in settings.kernels):
        raise ConfigError(f"model.kernels={settings.kernels}: a kernel of even size has no centre.\n  Choose odd ones.")


def clst_needs(settings: ClSTSettings) -> TrunkNeeds:
    """What a trunk that is handed in must take."""
    return TrunkNeeds(width=settings.widths[0], causal=False)
