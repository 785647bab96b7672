"""Puts libglimmer.so into the package: the file that GLIMMER_LIBRARY names, or that of ../build/release, built if it is
not there."""

import os
import pathlib
import shutil
import subprocess

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.dist import Distribution

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # before setuptools 70.1
    from wheel.bdist_wheel import bdist_wheel

HERE = pathlib.Path(__file__).resolve().parent


def library():
    named = os.environ.get("GLIMMER_LIBRARY")
    if named:
        if not pathlib.Path(named).is_file():
            raise SystemExit(f"glimmer: GLIMMER_LIBRARY is {named}, and there is no such file")
        return pathlib.Path(named)
    root = HERE.parent
    if not (root / "CMakePresets.json").is_file():
        raise SystemExit(f"glimmer: {root} is not Glimmer's source tree: install from there (pip install ./python), "
                         "or name a built libglimmer.so in GLIMMER_LIBRARY")
    subprocess.run([str(root / "dev"), "library"], check=True)
    return root / "build/release/src/libglimmer.so"


class BuildWithLibrary(build_py):
    def run(self):
        super().run()
        shutil.copyfile(library(), pathlib.Path(self.build_lib) / "glimmer" / "libglimmer.so")


class PlatformWheel(bdist_wheel):
    """Of one platform, but of any Python: ctypes loads the library."""

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


class PlatformDistribution(Distribution):
    def has_ext_modules(self):
        return True


setup(cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel}, distclass=PlatformDistribution)
