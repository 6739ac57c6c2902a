# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least work that creates devices: a program that writes UUIDs, and definitions if a folder is given.

bare_create.py PARENT TYPE COUNT [FOLDER]
"""

from __future__ import annotations

import json
import os
import sys
import uuid

_NEW = os.O_WRONLY | os.O_CREAT


def _put(path: str, text: str, flags: int = os.O_WRONLY) -> None:
    handle = os.open(path, flags, 0o644)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def main(parent: str, type_id: str, count: str, folder: str = "") -> None:
    """Write without any checks before or after."""
    create = f"/sys/class/mdev_bus/{parent}/mdev_supported_types/{type_id}/create"
    for _index in range(int(count)):
        name = str(uuid.uuid4())
        _put(create, name)
        if folder:
            os.makedirs(f"{folder}/{parent}", exist_ok=True)
            definition = {"mdev_type": type_id, "start": "manual", "attrs": []}
            _put(f"{folder}/{parent}/{name}", json.dumps(definition, indent=2), _NEW)


if __name__ == "__main__":
    main(*sys.argv[1:])
