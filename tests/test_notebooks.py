"""The notebooks are stored with the outputs of a whole run, and these are the same on every machine (nbval compares them word by word)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SIZE_MAX = 500_000  # bytes

# What would differ from machine to machine, or from run to run.
TELLTALES = {
    "an address": r"0x[0-9a-fA-F]{6,}",
    "a path of a machine": r"(?<![\w.~/<])/(?:home|root|tmp|usr|opt|var|work|private|Users|mnt)/[\w.-]+|[A-Z]:\\\\",
    "a time of day": r"\b\d{1,2}:\d{2}:\d{2}\b",
    "a date": r"\b20\d\d-\d\d-\d\d\b",
    "a measured duration": r"\b\d+(?:\.\d+)?\s?(?:ms|µs|seconds|min)\b",
    "a host": r"https?://(?!www\.w3\.org/)[\w.-]+",
}


def _cells(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def _texts(cell: dict[str, Any]) -> list[str]:
    """The outputs that are text; pictures are neither compared nor read."""
    found = []
    for output in cell["outputs"]:
        found.append(output.get("text", ""))
        found += [value for kind, value in output.get("data", {}).items() if not kind.startswith("image/p")]
    return ["".join(text) for text in found]


def test_the_notebooks_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "01_the_bug",
        "02_race_windows",
        "03_designs",
        "04_crashes",
        "05_your_own_store",
        "06_search",
        "07_real_servers",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_every_code_cell_was_run_in_order(self, path: Path) -> None:
        """nbval passes a cell that was never run without a word."""
        assert [cell["execution_count"] for cell in _cells(path)] == list(range(1, len(_cells(path)) + 1))

    def test_no_cell_ended_in_an_error_or_spoke_to_stderr(self, path: Path) -> None:
        for cell in _cells(path):
            for output in cell["outputs"]:
                assert output["output_type"] != "error", cell["source"]
                assert output.get("name") != "stderr", cell["source"]

    @pytest.mark.parametrize("what", TELLTALES)
    def test_no_output_tells_of_a_machine_or_a_moment(self, path: Path, what: str) -> None:
        for cell in _cells(path):
            for text in _texts(cell):
                found = re.search(TELLTALES[what], text)
                assert found is None, f"{what}: {found[0]!r} in the output of\n{''.join(cell['source'])}"

    def test_the_metadata_name_no_machine(self, path: Path) -> None:
        metadata = json.loads(path.read_text())["metadata"]
        assert metadata == {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }

    def test_a_picture_has_a_table_or_a_text_in_the_same_section(self, path: Path) -> None:
        """nbval does not compare pictures, so their numbers have to stand beside them."""
        cells = json.loads(path.read_text())["cells"]
        sections: list[list[dict[str, Any]]] = [[]]
        for cell in cells:
            if cell["cell_type"] == "markdown" and re.search(r"(?m)^##? ", "".join(cell["source"])):
                sections.append([])
            sections[-1].append(cell)
        for section in sections:
            outputs = [output for cell in section if cell["cell_type"] == "code" for output in cell["outputs"]]
            kinds = {kind for output in outputs for kind in output.get("data", {})}
            if "image/png" in kinds:
                assert "text/html" in kinds, "".join(section[0]["source"])

    def test_the_file_is_small(self, path: Path) -> None:
        assert path.stat().st_size < SIZE_MAX
