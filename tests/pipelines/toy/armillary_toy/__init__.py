"""A whole domain in a few lines, as a plugin author would write it: fast or slow waves, told apart."""

from armillary.core.domain import Domain, Lazy

_HOME = "armillary_toy.parts"

DOMAIN = Domain(
    name="toy",
    title="Toy waves",
    summary="fast or slow waves",
    cards="armillary_toy.cards",
    recipes={name: Lazy(f"armillary_toy.settings:{name}") for name in ("simulated", "trunk")},
    uses=Lazy("armillary_toy.settings:uses"),
    quick=Lazy("armillary_toy.settings:quick"),
    formats=(".csv", ".nc"),
    **{
        name: Lazy(f"{_HOME}:{name}")
        for name in (
            "read", "datasets", "items", "build", "trunk_needs", "assemble", "metrics", "baselines", "write", "figures",
            "joint_figures", "sounds", "simulate", "example_batch", "protocol",
        )
    },
)  # fmt: skip
