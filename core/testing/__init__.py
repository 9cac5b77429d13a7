"""Conformance kits, shipped so that plugin authors can run them on parts of their own."""

from armillary.core.testing.mixers import MIXER_CHECKS, check_mixer
from armillary.core.testing.ops import assert_agree, relative_rms

__all__ = ["MIXER_CHECKS", "assert_agree", "check_mixer", "relative_rms"]
