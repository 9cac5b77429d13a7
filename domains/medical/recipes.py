"""The recipes: functions that return a complete run configuration."""

from armillary.core.config import EvaluateSettings, OptimSettings, StartSettings, TrainSettings
from armillary.core.config.channels import MLPSettings
from armillary.core.config.mixers import CrossScanSettings
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.domains.medical.settings import AugmentSettings, MedicalData, MedicalRun
from armillary.domains.medical.systems.settings import (
    MAESettings,
    MedMambaSettings,
    StagesSettings,
    SystemSettings,
    UMambaSettings,
    VimSettings,
    ViTSettings,
    VMambaSettings,
    VMUNetSettings,
)

CXR14 = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
PHANTOM = ("Opacity", "Nodule", "Effusion", "Pneumothorax", "Cardiomegaly")
LUNGS = ("left_lung", "right_lung")
# Of ChestX-ray14, as the released code has them; on all three channels.
_MEAN, _STD = (0.5056,), (0.252,)
_PRETRAIN_CROP = AugmentSettings(crop=(0.5, 1.0), flip=True)
_FINE_TUNE = AugmentSettings(crop=(0.5, 1.0), flip=True, magnitude=6.0, magnitude_std=0.5)
_VIT_S = ViTSettings()
_VIT_B = ViTSettings(width=768, heads=12)
_EVALUATE = EvaluateSettings(batch_size=16)
_WHOLE = EvaluateSettings(batch_size=1)  # images of their own sizes go one by one


def mae_pretrain_vit_s() -> MedicalRun:
    """Masked auto-encoder on chest films, ViT-S/16, ratio 0.90, decoder of 2 blocks (arXiv 2210.12843, WACV 2023).

    The paper pre-trains on ChestX-ray14 and CheXpert together; a run here reads one card (data.card). Released batch
    2,048 and rate 1.2e-3; here 256 and 1.5e-4, by the same rule of 1.5e-4 for 256.
    """
    return MedicalRun(
        recipe="medical/mae-pretrain-vit-s",
        data=MedicalData(card="nih_cxr14", task="pretrain", channels=3, augment=_PRETRAIN_CROP, mean=_MEAN, std=_STD),
        model=MAESettings(encoder=_VIT_S),
        optim=OptimSettings(lr=1.5e-4, weight_decay=0.05, betas=(0.9, 0.95), clip_norm=None, warmup_steps=12_000),
        train=TrainSettings(epochs=800, batch_size=256, validate_every=10),
        evaluate=_EVALUATE,
    )


def vit_s_cxr14() -> MedicalRun:
    """ViT-S/16 fine-tuned on the 14 findings of ChestX-ray14 (arXiv 2210.12843): 21,671,054 parameters.

    Starts from a run of medical/mae-pretrain-vit-s. Reported: mean AUROC 0.823, where the released script keeps the
    best of its looks at the test split; here the validation split chooses.
    """
    return _fine_tuned("vit-s-cxr14", _VIT_S, "medical/mae-pretrain-vit-s")


def vit_b_cxr14() -> MedicalRun:
    """ViT-B/16 on the 14 findings of ChestX-ray14 (arXiv 2210.12843): 85,809,422 parameters; reported mean AUROC 0.830.

    Its pre-training is medical/mae-pretrain-vit-s with
    --set 'model.encoder={width: 768, heads: 12}' --set model.decoder_depth=8.
    """
    return _fine_tuned("vit-b-cxr14", _VIT_B, "medical/mae-pretrain-vit-s")


def _fine_tuned(name: str, model: ViTSettings, start: str) -> MedicalRun:
    return MedicalRun(
        recipe=f"medical/{name}",
        data=MedicalData(
            card="nih_cxr14", task="labels", names=CXR14, channels=3, augment=_FINE_TUNE, mean=_MEAN, std=_STD
        ),
        model=model.model_copy(update={"drop_path": 0.2, "layer_decay": 0.55}),
        # 2.5e-4 for a batch of 256; released batch 1,024.
        optim=OptimSettings(lr=2.5e-4, weight_decay=0.05, clip_norm=None, warmup_steps=1_470),
        train=TrainSettings(epochs=75, batch_size=256),
        start=StartSettings(recipe=start),
        evaluate=_EVALUATE,
    )


def _classifier(name: str, model: SystemSettings, optim: OptimSettings, epochs: int) -> MedicalRun:
    return MedicalRun(
        recipe=f"medical/{name}",
        data=MedicalData(
            card="nih_cxr14",
            task="labels",
            names=CXR14,
            channels=3,
            augment=AugmentSettings(crop=(0.5, 1.0), flip=True),
        ),
        model=model,
        optim=optim,
        train=TrainSettings(epochs=epochs, batch_size=32),
        evaluate=_EVALUATE,
    )


def vim_tiny() -> MedicalRun:
    """Vision Mamba, tiny (arXiv 2401.09417), on the 14 findings of ChestX-ray14; no number is published for them."""
    return _classifier("vim-tiny", VimSettings(), OptimSettings(lr=5e-4, weight_decay=0.05, warmup_steps=1_000), 50)


def vmamba_tiny() -> MedicalRun:
    """VMamba, tiny, second generation (arXiv 2401.10166), on ChestX-ray14; no number is published for them."""
    optim = OptimSettings(lr=5e-4, weight_decay=0.05, warmup_steps=1_000)
    return _classifier("vmamba-tiny", VMambaSettings(), optim, 50)


def medmamba_tiny() -> MedicalRun:
    """MedMamba-T (arXiv 2403.03849) on PneumoniaMNIST brought to 224 pixels: accuracy 0.899, AUC 0.965 are reported."""
    return MedicalRun(
        recipe="medical/medmamba-tiny",
        data=MedicalData(
            card="pneumoniamnist", task="classes", names=("normal", "pneumonia"), channels=3,
            mean=(0.5,), std=(0.5,), augment=AugmentSettings(crop=(0.08, 1.0), flip=True),
        ),
        model=MedMambaSettings(),
        optim=OptimSettings(algorithm="adam", lr=1e-4, weight_decay=0.0, schedule="constant", warmup_steps=0),
        train=TrainSettings(epochs=100, batch_size=32, patience=20),
        evaluate=_EVALUATE,
    )  # fmt: skip


def pneumoniamnist() -> MedicalRun:
    """Small cross scans on PneumoniaMNIST at its own 28 pixels; trains on one core in three minutes.

    Published: ResNet-18 AUC 0.944, accuracy 0.854 on the official test set of 624. Nothing turns or scales the images:
    at 28 pixels that blurs them, and sharp ones then look strange.
    """
    return MedicalRun(
        recipe="medical/pneumoniamnist",
        data=MedicalData(
            card="pneumoniamnist", task="classes", names=("normal", "pneumonia"), size=(28, 28),
            augment=AugmentSettings(flip=True, contrast=0.2, brightness=0.2),
        ),
        model=StagesSettings(trunk=_small_trunk(48)),
        optim=OptimSettings(algorithm="muon", lr=4e-3, weight_decay=0.05, warmup_steps=50, average_decay=0.99),
        train=TrainSettings(epochs=10, batch_size=64, threads=1),
        evaluate=EvaluateSettings(batch_size=64),
    )  # fmt: skip


def _small_trunk(width: int, depths: tuple[int, int] = (2, 2)) -> TrunkSettings:
    """Two stages of cross scans with one state, the second at half the resolution."""
    scan = (CrossScanSettings(expand=1),)
    return TrunkSettings(
        width=width,
        stages=(
            StageSettings(depth=depths[0], pattern=scan),
            StageSettings(depth=depths[1], pattern=scan, resample="down2", width=2 * width),
        ),
        channel=MLPSettings(ratio=2.0),
        grid_rank=2,
        drop_path=0.1,
    )


def vm_unet() -> MedicalRun:
    """VM-UNet (arXiv 2402.02491) for lungs on chest films at 256 pixels; the paper has skin and abdomen."""
    return _lungs(
        "vm-unet",
        VMUNetSettings(),
        OptimSettings(lr=1e-3, weight_decay=1e-2, schedule="cosine", final_lr_fraction=0.01, warmup_steps=0),
    )


def u_mamba_enc() -> MedicalRun:
    """U-Mamba Enc (arXiv 2401.04722), a Mamba layer behind every encoder stage, for lungs on chest films."""
    return _lungs("u-mamba-enc", UMambaSettings(variant="enc"), OptimSettings(lr=1e-3, weight_decay=1e-2))


def u_mamba_bot() -> MedicalRun:
    """U-Mamba Bot (arXiv 2401.04722), a Mamba layer at the bottom, for lungs on chest films."""
    return _lungs("u-mamba-bot", UMambaSettings(variant="bot"), OptimSettings(lr=1e-3, weight_decay=1e-2))


def _lungs(name: str, model: SystemSettings, optim: OptimSettings) -> MedicalRun:
    return MedicalRun(
        recipe=f"medical/{name}",
        data=MedicalData(
            card="covid_cxr_structures", task="masks", names=LUNGS, size=(256, 256), each_image=True,
            augment=AugmentSettings(rotate_deg=10.0, scale=0.15, brightness=0.2, contrast=0.2),
        ),
        model=model,
        optim=optim,
        train=TrainSettings(epochs=100, batch_size=2, validate_every=5),
        evaluate=_WHOLE,
    )  # fmt: skip


def chase() -> MedicalRun:
    """Retinal vessels of CHASE_DB1 at full resolution, learned from parts of the images; ten minutes of one core.

    Photographs differ in exposure and colour, so each is normalised by itself.
    """
    return MedicalRun(
        recipe="medical/chase",
        data=MedicalData(
            card="chase_db1", task="masks", names=("vessel",), size=None, channels=3, patch=(128, 128),
            patches_per_image=16, each_image=True,
            augment=AugmentSettings(flip=True, turn=True, brightness=0.3, contrast=0.3),
        ),
        model=UMambaSettings(variant="bot", widths=(16, 32, 64), blocks=(1, 1, 1), norm="batch"),
        optim=OptimSettings(algorithm="muon", lr=4e-3, weight_decay=1e-2, warmup_steps=20, average_decay=0.99),
        train=TrainSettings(epochs=48, batch_size=8, threads=1, validate_every=8),
        evaluate=_WHOLE,
    )  # fmt: skip


def simulated() -> MedicalRun:
    """Findings on simulated chest films, a small network: seconds on two cores. Says nothing about patients."""
    return MedicalRun(
        recipe="medical/simulated",
        data=MedicalData(
            card="simulated_chest", task="labels", names=PHANTOM, size=(64, 64),
            augment=AugmentSettings(flip=False, brightness=0.2, contrast=0.2),
        ),
        model=StagesSettings(stem=4, trunk=_small_trunk(32, (1, 2))),
        optim=OptimSettings(algorithm="muon", lr=6e-3, weight_decay=0.05, warmup_steps=10, average_decay=0.95),
        train=TrainSettings(epochs=20, batch_size=32, validate_every=5),
        evaluate=EvaluateSettings(batch_size=64, resamples=200),
    )  # fmt: skip


def quick(config: MedicalRun) -> MedicalRun:
    """The same run without options of prediction that cost time and change no metric."""
    plain = config.predict.model_copy(update={"samples": 0, "maps": "none", "keep_masks": False})
    return config.model_copy(update={"predict": plain})


def uses(config: MedicalRun) -> tuple[str, ...]:
    """Ids of the cards whose data a run reads."""
    return (config.data.card,)
