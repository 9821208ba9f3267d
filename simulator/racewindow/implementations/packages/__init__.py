"""Adapters of real packages, one file each. A package is imported only when it is used."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from racewindow.errors import Unsupported
from racewindow.sessions.implementation import SessionStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """An adapter that may not be importable here.

    Attributes:
        name: of the implementation.
        summary: one line for a person.
        adapter: ``module:Class`` of the adapter.
        distribution: what has to be installed.
        extra: the extra of racewindow that installs it.
    """

    name: str
    summary: str
    adapter: str
    distribution: str
    extra: str

    @property
    def version(self) -> str:
        """The version that is installed; empty when there is none. Imports nothing."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return ""

    @property
    def installed(self) -> bool:
        """Whether the package is there."""
        return bool(self.version)

    @property
    def install_line(self) -> str:
        """What to type when it is not."""
        return f"pip install 'racewindow[{self.extra}]'"

    def load(self) -> type[SessionStore]:
        """Import the adapter.

        Raises:
            Unsupported: the package is not installed.
        """
        if not self.installed:
            raise Unsupported(
                f"{self.name} needs {self.distribution}, which is not installed here: {self.install_line}"
            )
        module, _, attribute = self.adapter.partition(":")
        found: type[SessionStore] = getattr(importlib.import_module(module), attribute)
        return found


PACKAGES: Mapping[str, Package] = MappingProxyType(
    {
        package.name: package
        for package in (
            Package(
                name="openai-agents",
                summary="openai-agents: SQLiteSession with manual compaction, on a real SQLite file.",
                adapter="racewindow.implementations.packages.openai_agents:OpenAIAgents",
                distribution="openai-agents",
                extra="openai-agents",
            ),
        )
    }
)
