"""Maps the folders at the root to packages under `armillary`, and builds the native kernels where a compiler is."""

import platform
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOTS = ("core", "domains", "pipelines", "data_cards")
LIBRARY = "armillary.core.ops.native.libarmillary"
COMMON = [
    "-O3", "-g0", "-std=c++17", "-fPIC", "-fvisibility=hidden", "-fopenmp", "-fno-math-errno", "-ffp-contract=fast",
    "-Wno-uninitialized", "-Wno-maybe-uninitialized",  # GCC 12 warns of its own headers
]  # fmt: skip
LEVELS = {
    "generic": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"],
}


class BuildLibrary(build_ext):
    """One shared library with a plain C interface, every kernel compiled for each instruction set.

    It is no Python module, so its name carries no Python version. Without a compiler the package works without it.
    """

    def get_ext_filename(self, fullname):
        return str(Path(*fullname.split("."))) + ".so"

    def build_extension(self, ext):
        objects = []
        for source in ext.sources:
            plain = source.endswith("entry.cpp")
            for level in ["generic"] if plain else self._levels():
                objects += self.compiler.compile(
                    [source],
                    output_dir=str(Path(self.build_temp) / level),
                    include_dirs=["core/ops/native"],
                    macros=[("ARMILLARY_LEVEL", level)],
                    extra_postargs=[*COMMON, *LEVELS[level]],
                    depends=ext.depends,
                )
        self.compiler.link_shared_object(
            objects, self.get_ext_fullpath(ext.name), extra_postargs=["-fopenmp"], target_lang="c++"
        )

    @staticmethod
    def _levels():
        return list(LEVELS) if platform.machine() in ("x86_64", "AMD64") else ["generic"]


class PlatformWheel(bdist_wheel):
    """Tagged for the platform and any Python: the library does not link to Python."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


def sources():
    """Every kernel, relative to this folder."""
    return sorted(str(path) for path in Path("core/ops").rglob("*.cpp"))


setup(
    package_dir={f"armillary.{root}": root for root in ROOTS},
    packages=[f"armillary.{root}{'.' + sub if sub else ''}" for root in ROOTS for sub in ("", *find_packages(root))],
    package_data={"": ["*.yaml", "*.md", "*.html", "*.css", "*.json"]},
    ext_modules=[
        Extension(
            LIBRARY,
            sources(),
            language="c++",
            optional=True,
            depends=sorted(str(path) for path in Path("core/ops").rglob("*.hpp")),
        )
    ],
    cmdclass={"build_ext": BuildLibrary, "bdist_wheel": PlatformWheel},
)
