# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of an archive are compiled once, and everything else about their import stays as it is."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

PLUGINS = Path(__file__).parents[5] / "plugins"
ZIP_IMPORTS = PLUGINS / "module_utils" / "_runner" / "zip_imports.py"
FILES = {
    "loaded/__init__.py": "",
    "loaded/before.py": "",
    "loaded/after.py": "import loaded.below.deep\n",
    "loaded/below/__init__.py": "",
    "loaded/below/deep.py": "def where():\n    raise ValueError\n",
}
PROGRAM = """
import collections, inspect, json, runpy, sys, traceback
archive, zip_imports, used = sys.argv[1:]
sys.path.insert(0, archive)
import loaded.before
compiled = collections.Counter()
sys.addaudithook(lambda event, values: compiled.update([str(values[1])]) if event == "compile" else None)
if used == "used":
    runpy.run_path(zip_imports)
import loaded.after
deep = sys.modules["loaded.below.deep"]
try:
    deep.where()
except ValueError:
    last = traceback.format_exc().splitlines()[-2].strip()
try:
    import loaded.missing
except ImportError as error:
    missing = repr(error)
specs = {name: sys.modules[name].__spec__ for name in sys.modules if name.startswith("loaded")}
print(json.dumps({
    "compiled": {path: count for path, count in compiled.items() if path.startswith(archive)},
    "places": {name: [sys.modules[name].__file__, spec.origin, spec.parent] for name, spec in specs.items()},
    "source": inspect.getsource(deep),
    "last": last,
    "missing": missing,
}))
"""


def imported(folder: Path, used: str) -> dict[str, Any]:
    """What happens in a process that imports the files, with or without our importer."""
    archive = folder / "archive.zip"
    with zipfile.ZipFile(archive, "w") as writer:
        for name, content in FILES.items():
            writer.writestr(name, content)
    command = [sys.executable, "-c", PROGRAM, str(archive), str(ZIP_IMPORTS), used]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_each_file_is_compiled_once_and_found_as_before(tmp_path: Path) -> None:
    with_ours, without = imported(tmp_path, "used"), imported(tmp_path, "unused")
    names = ("loaded/after.py", "loaded/below/__init__.py", "loaded/below/deep.py")
    assert with_ours.pop("compiled") == {f"{tmp_path}/archive.zip/{name}": 1 for name in names}
    without.pop("compiled")
    assert with_ours == without


@pytest.mark.parametrize("path", sorted((PLUGINS / "modules").glob("*.py")), ids=lambda path: path.stem)
def test_modules_import_it_before_all_others_of_ours(path: Path) -> None:
    imports = [node for node in ast.parse(path.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    ours = [ast.unparse(node) for node in imports if "ansible_collections" in ast.unparse(node)]
    assert ours[0] == "import ansible_collections.vfio.mdev.plugins.module_utils._runner.zip_imports"
