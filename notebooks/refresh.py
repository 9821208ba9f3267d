"""Run the notebooks from top to bottom and store their outputs: ``python notebooks/refresh.py [notebook ...]``.

Only what nbval compares is stored, and no version, time or path of this machine, so that the same code gives the same file.
"""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import KernelManager
from PIL import Image

HERE = Path(__file__).parent
CELL_TIMEOUT_S = 120


def refresh(path: Path) -> None:
    """Run one notebook in a fresh kernel of this Python, and write it back.

    Raises:
        SystemExit: a cell failed; the file is left as it was.
    """
    notebook = nbformat.read(path, as_version=4)
    manager = KernelManager()
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel(cwd=str(path.parent), extra_arguments=["--log-level=ERROR"])
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        count = 0
        for cell in notebook.cells:
            cell.metadata.clear()
            if cell.cell_type != "code":
                continue
            count += 1
            cell.outputs = []
            cell.execution_count = count

            def keep(message: dict[str, Any], outputs: list[Any] = cell.outputs) -> None:
                _keep(message, outputs)

            reply = client.execute_interactive(cell.source, output_hook=keep, timeout=CELL_TIMEOUT_S, allow_stdin=False)
            if reply["content"]["status"] != "ok":
                content = reply["content"]
                raise SystemExit(
                    f"{path.name}, cell {count}: {content.get('ename')}: {content.get('evalue')}\n{cell.source}"
                )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    print(f"{path.name}: {count} cells, {path.stat().st_size // 1024} KiB")


def _keep(message: dict[str, Any], outputs: list[Any]) -> None:
    kind = message["header"]["msg_type"]
    if kind not in ("stream", "display_data", "execute_result", "error"):
        return
    output = nbformat.v4.output_from_msg(message)
    if kind == "stream" and outputs and outputs[-1].get("name") == output.name:
        outputs[-1].text += output.text
        return
    if "metadata" in output:
        output.metadata.clear()
    if "image/png" in output.get("data", {}):
        output.data["image/png"] = _smaller(output.data["image/png"])
    outputs.append(output)


def _smaller(png: str) -> str:
    """The same picture in at most 64 colours: a third of the bytes (nbval does not compare pictures, tables stand beside them).

    By coverage of the colours there are, not by how often they are used: a small cell keeps the colour that its legend has.
    """
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(
        64, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    )
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    for chosen in [Path(name) for name in sys.argv[1:]] or sorted(HERE.glob("*.ipynb")):
        refresh(chosen)
