# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The initrd of the lab's hosts: a shell, the disk's drivers, our own init."""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from lab import recipe
from lab.errors import LabError
from lab.process import run

_APPLETS = ("cat", "echo", "insmod", "mount", "poweroff", "sh", "sleep", "switch_root", "umount")
_FOLDERS = ("bin", "dev", "modules", "proc", "root")
_UNPACKERS: Mapping[str, Callable[[bytes], bytes]] = {".xz": lzma.decompress, ".ko": bytes}


def parse_dependencies(text: str) -> dict[str, list[str]]:
    """The file modules.dep: path of a module -> paths of its dependencies."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {path: dependencies.split() for path, _colon, dependencies in pairs}


def load_order(names: Iterable[str], dependencies: Mapping[str, list[str]], builtin: set[str]) -> list[str]:
    """Paths of the named modules and their dependencies, in loading order.

    Raises LabError for a name that is neither a module nor built into the kernel.
    """
    by_name = {module_name(path): path for path in dependencies}
    order: list[str] = []

    def add(path: str) -> None:
        for dependency in reversed(dependencies[path]):
            add(dependency)
        if path not in order:
            order.append(path)

    for name in names:
        if name in by_name:
            add(by_name[name])
        elif name not in builtin:
            raise LabError(f"the initrd needs the module {name}, which this kernel does not have")
    return order


def module_name(path: str) -> str:
    """``kernel/fs/ext4/ext4.ko.xz`` is ext4. The kernel does not distinguish - and _."""
    return Path(path).name.partition(".")[0].replace("-", "_")


def build(tree: Path, rootfs: Path, release: str, target: Path, log: Path) -> None:
    """Write the initrd uncompressed: an emulated processor reads faster than it decompresses."""
    modules = rootfs / "usr/lib/modules" / release
    folder = target.with_suffix(".folder")
    for name in _FOLDERS:
        (folder / name).mkdir(parents=True)
    _copy_shell(tree, folder)
    builtin = {module_name(line) for line in (modules / "modules.builtin").read_text().splitlines()}
    dependencies = parse_dependencies((modules / "modules.dep").read_text())
    order = load_order(recipe.names("initrd.modules"), dependencies, builtin)
    for path in order:
        unpack = _UNPACKERS[Path(path).suffix]
        (folder / "modules" / f"{module_name(path)}.ko").write_bytes(unpack((modules / path).read_bytes()))
    (folder / "modules/order").write_text("".join(f"{module_name(path)}.ko\n" for path in order))
    shutil.copy(recipe.FOLDER / "init", folder / "init")
    (folder / "init").chmod(0o755)
    members = "\n".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
    run(
        ["cpio", "--create", "--format=newc", "--quiet", f"--directory={folder}", f"--file={target}"],
        log=log,
        deadline=60,
        stdin=members,
    )
    shutil.rmtree(folder)


def _copy_shell(tree: Path, folder: Path) -> None:
    shutil.copy(tree / "usr/bin/busybox", folder / "bin/busybox")
    for applet in _APPLETS:
        (folder / "bin" / applet).symlink_to("busybox")
