"""Where readers send what they cannot use."""

from collections.abc import Callable

from armillary.core.errors import DataError

Report = Callable[[DataError], None]
