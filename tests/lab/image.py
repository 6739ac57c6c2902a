# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A suite's disk image, kernel and initrd, built once and kept in the cache."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from lab import cache, debootstrap, drivers, initrd, recipe, sources
from lab.process import run
from lab.progress import say, stage

# Far more than the system uses; the file is sparse.
_DISK_SIZE = "4G"
# Services that wait for something that a lab host does not have, or that start work at a random time.
_MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "logrotate.timer",
    "systemd-network-generator.service",
    "systemd-networkd-persistent-storage.service",
    "systemd-networkd-wait-online.service",
    "systemd-pstore.service",
)


@dataclass(frozen=True)
class Image:
    """A built image: a folder with all its files."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"

    @property
    def disk(self) -> Path:
        """The raw disk. It is never written: each host has an overlay on it."""
        return self.folder / "disk.raw"

    @property
    def ssh_key(self) -> Path:
        """The private key for root on each host of the suite. The hosts use it for each other, too."""
        return self.folder / "id_ed25519"


def locate(suite: str) -> Image:
    """The image of a suite for the current recipe, whether it is built or not."""
    return Image(cache.images() / f"{suite}-{recipe.fingerprint(suite)}")


def ensure(suite: str) -> Image:
    """Return the image of a suite. Builds it if it is not in the cache."""
    image = locate(suite)
    if image.folder.is_dir():
        return image
    with cache.lock(f"build-{suite}"):
        # Another process may have built it while this one waited.
        if not image.folder.is_dir():
            started = time.monotonic()
            _build(suite, image)
            say(f"{suite}: image built in {time.monotonic() - started:.0f} s, {image.folder}")
    return image


def _build(suite: str, image: Image) -> None:
    """Build in a folder with another name and rename it at the end, so that only complete images have their name."""
    cache.images().mkdir(parents=True, exist_ok=True)
    work = cache.images() / f"building-{suite}"
    cache.remove_tree(work)
    work.mkdir()
    rootfs, tree, result = work / "rootfs", work / "tree", Image(work / "image")
    result.folder.mkdir()
    source_list = sources.sources_for(suite)
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        unpacked = other.submit(_unpack_tree, suite, tree, source_list, work)
        with stage(f"{suite}: installing the host's packages"):
            debootstrap.install(suite, recipe.names("guest.packages"), rootfs, source_list, work / "rootfs.log")
        unpacked.result()
    log = work / "build.log"
    with stage(f"{suite}: building the sample drivers"):
        drivers.install(tree, rootfs, log)
    with stage(f"{suite}: writing kernel, initrd and disk"):
        release = drivers.kernel_release(rootfs)
        shutil.copy(rootfs / "boot" / f"vmlinuz-{release}", result.kernel)
        initrd.build(tree, rootfs, release, result.initrd, log)
        _configure(rootfs, result, log)
        run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", rootfs, result.disk, _DISK_SIZE], log=log, deadline=300)
    for log_file in sorted(work.glob("*.log")):
        shutil.move(log_file, result.folder)
    result.folder.rename(image.folder)
    cache.remove_tree(work)


def _unpack_tree(suite: str, tree: Path, source_list: str, work: Path) -> None:
    with stage(f"{suite}: unpacking compiler, kernel headers and source"):
        debootstrap.unpack(suite, recipe.names("build.packages"), tree, source_list, work / "tree.log")


def _configure(rootfs: Path, result: Image, log: Path) -> None:
    """Turn the installed system into a lab host: network, keys, services, an identity assigned at the first boot."""
    shutil.copytree(recipe.FOLDER / "rootfs", rootfs, dirs_exist_ok=True)
    run(["chroot", rootfs, "systemctl", "enable", "systemd-networkd.service"], log=log, deadline=60)
    run(["chroot", rootfs, "systemctl", "mask", *_MASKED], log=log, deadline=60)
    # It contains the addresses of the machine that built the image.
    (rootfs / "etc/resolv.conf").write_text("")
    (rootfs / "etc/apt/sources.list").unlink(missing_ok=True)
    (rootfs / "etc/machine-id").write_text("")
    # Otherwise systemd treats the first boot as an upgrade and rebuilds caches (systemd-update-done(8)).
    changed = (rootfs / "usr").stat().st_mtime
    for stamp in (rootfs / "etc/.updated", rootfs / "var/.updated"):
        stamp.write_text("")
        os.utime(stamp, (changed, changed))
    _write_keys(rootfs, result, log)


def _write_keys(rootfs: Path, result: Image, log: Path) -> None:
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", result.ssh_key], log=log, deadline=30)
    folder = rootfs / "root/.ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    public = result.ssh_key.with_suffix(".pub")
    shutil.copy(result.ssh_key, folder)
    shutil.copy(public, folder / "authorized_keys")
    host_key = (rootfs / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"a,b,10.77.0.1,10.77.0.2 {host_key[0]} {host_key[1]}\n")


def prune(suite: str) -> None:
    """Remove the suite's images of other recipes, with the snapshots on them."""
    current = locate(suite)
    for folder in cache.images().glob(f"{suite}-*"):
        if folder != current.folder:
            say(f"removing the older image {folder.name}")
            cache.remove_tree(folder)
