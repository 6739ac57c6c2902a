# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NVIDIA's vendor VFIO framework: the stand-in behaves as the driver's sources say, file by file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from drivers.kit.isolated_host import Boot
from drivers.nvidia_vendor_vfio import SHIPPED, UPSTREAM, Answers, Card

CARD = "0000:82:00"
FIRST, SECOND, THIRD = (f"{CARD}.{number}" for number in (4, 5, 6))
ALL = "1148  : NVIDIA L40S-2Q\n1155  : NVIDIA L40S-24Q\n1159  : NVIDIA L40S-48Q\n"
HEADER = "ID    : vGPU Name\n"
DIALECTS = {"as shipped": SHIPPED, "for the kernel": UPSTREAM}


class Files:
    """The files of a card's functions, accessed as a shell does."""

    def __init__(self, sys: Path) -> None:
        self._functions = sys / "bus/pci/devices"

    def read(self, function: str, name: str) -> str:
        return (self._functions / function / "nvidia" / name).read_text()

    def write(self, function: str, name: str, text: str) -> None:
        handle = os.open(self._functions / function / "nvidia" / name, os.O_WRONLY)
        try:
            os.write(handle, f"{text}\n".encode())
        finally:
            os.close(handle)


def refused(files: Files, function: str, text: str, name: str = "current_vgpu_type") -> int:
    """The errno of a write; 0 if it is accepted."""
    try:
        files.write(function, name, text)
    except OSError as error:
        return error.errno or 0
    return 0


@pytest.mark.parametrize(
    ("answers", "taken", "others", "full"),
    [(SHIPPED, HEADER, f"{HEADER}1155  : NVIDIA L40S-24Q\n", HEADER), (UPSTREAM, "", "1155  : NVIDIA L40S-24Q\n", "")],
    ids=DIALECTS,
)
def test_the_list_is_per_function_and_current(boot: Boot, answers: Answers, taken: str, others: str, full: str) -> None:
    files = Files(boot(Card(CARD, 3, answers=answers)).files.sys)
    lists = [files.read(function, "creatable_vgpu_types") for function in (FIRST, SECOND, THIRD)]
    assert lists == [HEADER + ALL] * 3
    files.write(FIRST, "current_vgpu_type", "1155")
    assert [files.read(function, "creatable_vgpu_types") for function in (FIRST, SECOND, THIRD)] == [
        taken,
        others,
        others,
    ]
    files.write(SECOND, "current_vgpu_type", "1155")
    assert [files.read(function, "creatable_vgpu_types") for function in (FIRST, SECOND, THIRD)] == [taken, taken, full]
    for function in (FIRST, SECOND):
        files.write(function, "current_vgpu_type", "0")
    assert files.read(FIRST, "creatable_vgpu_types") == HEADER + ALL


# The types set before, the function in use, the write, and the errno of each dialect.
WRITES: dict[str, tuple[dict[str, str], str, tuple[str, str], tuple[int, int]]] = {
    "a type": ({}, "", (FIRST, "1148"), (0, 0)),
    "the same type beside it": ({FIRST: "1148"}, "", (SECOND, "1148"), (0, 0)),
    "none": ({FIRST: "1148"}, "", (FIRST, "0"), (0, 0)),
    "none if there is none": ({}, "", (FIRST, "0"), (errno.EPERM, 0)),
    "none, in use": ({FIRST: "1148"}, FIRST, (FIRST, "0"), (errno.EPERM, errno.EBUSY)),
    "another, in use": ({FIRST: "1148"}, FIRST, (FIRST, "1155"), (errno.EPERM, errno.EBUSY)),
    "another before the first is cleared": ({FIRST: "1148"}, "", (FIRST, "1155"), (errno.EPERM, errno.EINVAL)),
    "another size on the card": ({FIRST: "1148"}, "", (SECOND, "1155"), (errno.EIO, errno.EINVAL)),
    "on a full card": ({FIRST: "1159"}, "", (SECOND, "1159"), (errno.EIO, errno.ENOSPC)),
    "a type that the function does not have": ({}, "", (FIRST, "9999"), (errno.EIO, errno.ENODEV)),
    "no number": ({}, "", (FIRST, "NVIDIA L40S-2Q"), (errno.EINVAL, errno.EINVAL)),
}


@pytest.mark.parametrize(("before", "used", "write", "numbers"), WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("dialect", [0, 1], ids=DIALECTS)
def test_which_writes_the_driver_accepts(
    boot: Boot, dialect: int, before: dict[str, str], used: str, write: tuple[str, str], numbers: tuple[int, int]
) -> None:
    card = Card(CARD, 3, answers=list(DIALECTS.values())[dialect])
    host = boot(card)
    files = Files(host.files.sys)
    for function, number in before.items():
        files.write(function, "current_vgpu_type", number)
    host.files.kernel.held.add(used)
    types_before = card.types_set()
    assert refused(files, *write) == numbers[dialect]
    function, number = write
    if numbers[dialect] or int(number) == types_before.get(function, 0):
        assert card.types_set() == types_before
    else:
        assert files.read(function, "current_vgpu_type") == f"{number}\n"


def test_parameters_need_a_vgpu_that_is_not_in_use(boot: Boot) -> None:
    card = Card(CARD, 2)
    host = boot(card)
    files = Files(host.files.sys)
    assert refused(files, FIRST, "frame_rate_limiter=0", "vgpu_params") == errno.ENXIO
    files.write(FIRST, "current_vgpu_type", "1148")
    files.write(FIRST, "vgpu_params", "frame_rate_limiter=0")
    assert files.read(FIRST, "vgpu_params") == "frame_rate_limiter=0\n"
    host.files.kernel.held.add(FIRST)
    assert refused(files, FIRST, "frame_rate_limiter=1", "vgpu_params") == errno.EPERM
    # A boot clears everything.
    host.files.boot(card)
    assert (card.types_set(), files.read(FIRST, "current_vgpu_type")) == ({}, "0\n")
    files.write(FIRST, "current_vgpu_type", "1148")
    assert files.read(FIRST, "vgpu_params") == "\n"


def test_the_other_files_of_a_function(boot: Boot) -> None:
    devices = boot(Card(CARD, 2)).files.sys / "bus/pci/devices"
    links = {name: (devices / FIRST / name).readlink().name for name in ("driver", "physfn", "iommu_group")}
    assert links == {"driver": "nvidia", "physfn": f"{CARD}.0", "iommu_group": "10"}
    assert [path.name for path in (devices / FIRST / "vfio-dev").iterdir()] == ["vfio10"]
    assert (devices / f"{CARD}.0" / "sriov_numvfs").read_text() == "2\n"
    assert (devices / f"{CARD}.0" / "virtfn1").readlink().name == SECOND
    assert not (devices / f"{CARD}.0" / "nvidia").exists()
