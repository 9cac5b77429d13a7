"""All cases by name."""

from op_cases import activations, attention, scans, streaming
from op_cases.case import Case

CASES: dict[str, Case] = scans.CASES | attention.CASES | activations.CASES | streaming.CASES
