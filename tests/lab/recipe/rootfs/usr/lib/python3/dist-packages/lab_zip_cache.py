# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps what Python compiles from zip files, only for tests.

Ansible sends each module as a zip file, and Python keeps no compiled code of zip files: on an emulated host, compiling
Ansible's own part again takes a third of each task. The code that runs is the same.
"""

import os
import zipimport
from types import CodeType

_FOLDER = os.environ.get("LAB_ZIP_CACHE", "/run/lab-zip-cache")
_compile = zipimport._compile_source  # type: ignore[attr-defined]


def _compile_once(pathname: str, source: bytes) -> CodeType:
    import hashlib
    import marshal

    place = os.path.join(_FOLDER, hashlib.sha256(source).hexdigest())
    try:
        with open(place, "rb") as file:
            cached: CodeType = marshal.load(file)
            return cached
    except (OSError, EOFError, ValueError):
        pass
    code: CodeType = _compile(pathname, source)
    written = f"{place}.{os.getpid()}"
    try:
        os.makedirs(_FOLDER, mode=0o700, exist_ok=True)
        with open(written, "wb") as file:
            marshal.dump(code, file)
        os.rename(written, place)
    except OSError:
        pass
    return code


zipimport._compile_source = _compile_once  # type: ignore[attr-defined]
