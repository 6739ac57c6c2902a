# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's sample parent drivers, built as modules for the kernel of a host's image."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from lab.errors import LabError
from lab.process import run

_SAMPLES = "samples/vfio-mdev"
_LOOK_ALIKE = "nvidia_sample"
_DRIVERS = ("mtty", "mdpy", "mbochs", _LOOK_ALIKE)
_BUILD = "build/vfio-mdev"


def install(tree: Path, rootfs: Path, log: Path) -> None:
    """Build the drivers in the unpacked build tree and install them into the image's root folder."""
    release = kernel_release(rootfs)
    headers = Path("usr/src") / f"linux-headers-{release}"
    if not (tree / headers).is_dir():
        offered = sorted(path.name for path in (tree / "usr/src").glob("linux-headers-*"))
        raise LabError(
            f"the image's kernel is {release}, but the archive's headers are {offered}: "
            "the archive changed while the lab was built. Run the build again."
        )
    # Packages that are only unpacked have not chosen their alternatives.
    (tree / "usr/bin/awk").symlink_to("mawk")
    build = tree / _BUILD
    extract_samples(_kernel_source(tree), build)
    (build / f"{_LOOK_ALIKE}.c").write_text(look_alike((build / "mtty.c").read_text()))
    objects = " ".join(f"{name}.o" for name in _DRIVERS)
    (build / "Makefile").write_text(f"obj-m := {objects}\n")
    run(["chroot", tree, "make", "-j2", "-C", f"/{headers}", f"M=/{_BUILD}", "modules"], log=log, deadline=300)
    target = rootfs / "usr/lib/modules" / release / "extra"
    target.mkdir()
    for name in _DRIVERS:
        shutil.copy(build / f"{name}.ko", target)
    run(
        ["chroot", tree, "strip", "--strip-debug", *(f"/{_BUILD}/{name}.ko" for name in _DRIVERS)], log=log, deadline=60
    )
    run(["chroot", rootfs, "depmod", release], log=log, deadline=120)


def look_alike(mtty: str) -> str:
    """The source of mtty as a driver with the types nvidia-31 and nvidia-32: virt-manager's tools go by such ids.

    The kernel makes the id of a type from the name of the parent's driver or class and the name of the type
    (drivers/vfio/mdev/mdev_sysfs.c).
    """
    source = mtty.replace('"mtty"', '"nvidia"')
    for name in ("1", "2"):
        before, after = f'sysfs_name = "{name}"', f'sysfs_name = "3{name}"'
        if before not in source:
            raise LabError(f"the sample driver mtty has no type {name}: {before} is missing")
        source = source.replace(before, after)
    return source


def kernel_release(rootfs: Path) -> str:
    """The release of the only kernel installed in a root folder."""
    releases = sorted(path.name.removeprefix("vmlinuz-") for path in (rootfs / "boot").glob("vmlinuz-*"))
    if len(releases) != 1:
        raise LabError(f"{rootfs}/boot should contain one kernel, but contains {releases}")
    return releases[0]


def _kernel_source(tree: Path) -> Path:
    archives = sorted((tree / "usr/src").glob("linux-source-*.tar.xz"))
    if len(archives) != 1:
        raise LabError(f"{tree}/usr/src should contain one kernel source, but contains {archives}")
    return archives[0]


def extract_samples(archive: Path, target: Path) -> None:
    """Extract the sample drivers from the kernel source and stop reading after the last one."""
    target.mkdir(parents=True)
    extracted = 0
    with tarfile.open(archive, mode="r|xz") as stream:
        for member in stream:
            inside = member.name.partition("/")[2]
            if member.isfile() and inside.startswith(f"{_SAMPLES}/"):
                content = stream.extractfile(member)
                if content is not None:
                    (target / Path(inside).name).write_bytes(content.read())
                    extracted += 1
            elif extracted and not inside.startswith(_SAMPLES):
                break
    if not extracted:
        raise LabError(f"{archive} contains no {_SAMPLES}")
