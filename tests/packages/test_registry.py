"""The list of packages: nothing is imported before it is used, and what is missing says how to get it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import racewindow as rw
from racewindow.implementations.packages import PACKAGES, Package


class TestRegistry:
    def test_names(self) -> None:
        """Each package is listed under its own name."""
        assert all(name == package.name for name, package in PACKAGES.items())
        assert "openai-agents" in PACKAGES

    def test_a_missing_package_says_the_install_line(self) -> None:
        """The message can be copied into a shell."""
        package = Package(
            name="x", summary="", adapter="nowhere:Nothing", distribution="no-such-thing-at-all", extra="x"
        )
        assert (package.installed, package.version) == (False, "")
        with pytest.raises(rw.Unsupported, match=r"x needs no-such-thing-at-all.*pip install 'racewindow\[x\]'"):
            package.load()

    def test_listing_imports_no_package(self) -> None:
        """Importing one takes seconds; a list must not."""
        code = (
            "import sys, racewindow.implementations.packages as packages\n"
            "[(p.installed, p.summary) for p in packages.PACKAGES.values()]\n"
            "import racewindow.implementations.packages.openai_agents\n"
            "print('agents' in sys.modules, 'openai' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["False", "False"]

    def test_an_adapter_without_its_package_says_so_when_it_is_used(self) -> None:
        """Its module can be imported all the same."""
        code = (
            "import sys\n"
            "sys.modules['agents'] = None\n"
            "from racewindow.implementations.packages.openai_agents import package\n"
            "try:\n"
            "    package()\n"
            "except Exception as error:\n"
            "    print(type(error).__name__, error)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("Unsupported openai-agents needs the package openai-agents")
        assert "pip install 'racewindow[openai-agents]'" in done.stdout
