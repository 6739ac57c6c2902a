# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""./dev bench payload counts our files that a run really imports, and compares two checkouts."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path

import pytest

from benchmarks.payload import Payload, measure_payload, text

OURS = "ansible_collections/vfio/mdev/"
PACKAGES = (
    "ansible_collections/",
    "ansible_collections/vfio/",
    OURS,
    *(f"{OURS}plugins/{name}" for name in ("", "modules/", "module_utils/")),
)
FILES = {
    "ansible/module_utils/basic.py": "1\n2\n3\n4\n",
    **{f"{package}__init__.py": "" for package in PACKAGES},
    f"{OURS}plugins/modules/mdev_info.py": "from ..module_utils import used\n\n",
    f"{OURS}plugins/module_utils/used.py": "value = 1\n",
    f"{OURS}plugins/module_utils/unused.py": "value = 2\nvalue = 3\n",
}
# A payload like Ansible's: the archive is imported from and the module is run.
PROGRAM = """import base64, runpy, sys
def main(zip_data):
    with open(sys.argv[0] + ".zip", "wb") as archive:
        archive.write(base64.b64decode(zip_data))
    sys.path.insert(0, sys.argv[0] + ".zip")
    runpy.run_module("ansible_collections.vfio.mdev.plugins.modules.mdev_info")
    print('{result}')
main(
zip_data='{zip_data}',
)
"""


def payload(folder: Path, result: str) -> Payload:
    """Measures a payload with these files, in the folder where Ansible would have kept it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, content in FILES.items():
            writer.writestr(name, content)
    program = PROGRAM.replace("{zip_data}", base64.b64encode(archive.getvalue()).decode()).replace("{result}", result)
    path = folder / "remote" / "ansible-tmp-1" / "AnsiballZ_mdev_info.py"
    path.parent.mkdir(parents=True)
    path.write_text(program)
    measured = measure_payload(folder, "mdev_info")
    assert measured.shipped_bytes == len(program)
    assert 0 < measured.own_bytes < measured.shipped_bytes
    return measured


def test_only_imported_files_of_ours_are_counted(tmp_path: Path) -> None:
    measured = payload(tmp_path, '{"changed": false}')
    assert (measured.files, measured.lines, measured.error) == (2, 3, "")


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ('{"failed": true, "msg": "no virsh"}', "no virsh"),
        ('{"failed": true, "exception": {"event": {"msg": "a bug"}}}', "a bug"),
    ],
)
def test_a_run_that_failed_says_why(tmp_path: Path, result: str, error: str) -> None:
    assert payload(tmp_path, result).error == error


def test_a_table_of_one_checkout() -> None:
    table = text({}, {"mdev_info": Payload(21, 2531, 263_400, 80_600, "")})
    assert table.splitlines() == [
        "| module | files | lines | shipped kB | own kB |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| `mdev_info` | 21 | 2,531 | 263 | 81 |",
    ]


def test_a_table_of_two_checkouts_has_ratios_and_errors() -> None:
    before = {"mdev_info": Payload(28, 4000, 274_000, 90_000, ""), "mdev_old": Payload(1, 2, 3000, 4000, "")}
    after = {"mdev_info": Payload(21, 2000, 263_000, 81_000, "a bug"), "mdev_vfs": Payload(1, 2, 3000, 4000, "")}
    lines = text(before, after).splitlines()
    assert lines[0].startswith("| module | files before | after | ratio | lines before | after | ratio |")
    assert lines[2:] == [
        "| `mdev_info` | 28 | 21 | 0.75 | 4,000 | 2,000 | 0.50 | 274 | 263 | 0.96 | 90 | 81 | 0.90 |",
        "| `mdev_old` | 1 |  |  | 2 |  |  | 3 |  |  | 4 |  |  |",
        "| `mdev_vfs` |  | 1 |  |  | 2 |  |  | 3 |  |  | 4 |  |",
        "",
        "mdev_info: counted until its error: a bug",
    ]
