"""Neighbourhood attention: each query of a grid attends a fixed number of the nearest keys on every axis."""

from armillary.core.ops.neighbourhood.cost import neighbourhood_bytes, neighbourhood_cost
from armillary.core.ops.neighbourhood.op import OP, neighbourhood_attention

__all__ = ["OP", "neighbourhood_attention", "neighbourhood_bytes", "neighbourhood_cost"]
