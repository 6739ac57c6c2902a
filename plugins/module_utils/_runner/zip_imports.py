# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has Python compile each file of the shipped archive once. Modules import this file before all others of ours.

To learn a file's name, zipimport compiles the file, and compiles it again to run it (zipimporter.get_filename(), from
Python 3.9 to 3.13 at least).
"""

from __future__ import annotations

import sys
from zipimport import zipimporter


class SourceImporter(zipimporter):
    """Imports from an archive that has sources and no byte code, such as Ansible's."""

    def get_filename(self, fullname: str) -> str:
        """The path of the file, without a look at its contents."""
        name = fullname.rpartition(".")[2]
        file = f"{name}/__init__.py" if self.is_package(fullname) else f"{name}.py"
        return f"{self.archive}/{self.prefix}{file}"


sys.path_hooks[:] = [SourceImporter if hook is zipimporter else hook for hook in sys.path_hooks]
for path in [path for path, finder in sys.path_importer_cache.items() if isinstance(finder, zipimporter)]:
    del sys.path_importer_cache[path]
