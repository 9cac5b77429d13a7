"""Changed copies of training images that keep their answer; masks change along."""

from armillary.domains.medical.augment.apply import Draw, augment, reach

__all__ = ["Draw", "augment", "reach"]
