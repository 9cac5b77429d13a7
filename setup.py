"""Maps the folders at the root to packages under `armillary`; the list of packages is computed here."""

from setuptools import find_packages, setup

ROOTS = ("core", "domains", "pipelines", "data_cards")

setup(
    package_dir={f"armillary.{root}": root for root in ROOTS},
    packages=[f"armillary.{root}{'.' + sub if sub else ''}" for root in ROOTS for sub in ("", *find_packages(root))],
    package_data={"": ["*.yaml", "*.md", "*.html", "*.css", "*.json"]},
)
