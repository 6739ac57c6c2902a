# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plain words for an operator who sees nothing, or less than expected: why, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from .._model.inventory import VENDOR_VFIO, Card, Hardware, Inventory, Type

_NVIDIA = "0x10de"
_INTEL = "0x8086"


def hints(inventory: Inventory, hardware: Hardware) -> list[str]:
    """What explains this inventory. Empty where all is as one would expect."""
    found = list(_about_devices(inventory))
    if not inventory.parents:
        return [*_about_nothing(hardware), *found]
    return [*_about_vendor_vfio(inventory), *found]


def _about_vendor_vfio(inventory: Inventory) -> Iterator[str]:
    functions = [one.address for one in inventory.parents if one.framework == VENDOR_VFIO]
    if functions:
        yield (
            "This kernel has no mediated devices for these cards: NVIDIA's driver uses its own VFIO framework here. "
            "A vGPU has no UUID, and mdevctl does not see it. Guests get its virtual function as "
            f"<hostdev type='pci' managed='no'>: {_listed(functions)}."
        )


def _about_nothing(hardware: Hardware) -> Iterator[str]:
    cards = [hint for card in hardware.cards for hint in _about_card(card, hardware)]
    yield from cards
    yield from _about_s390(hardware)
    if not cards and "mdev" in hardware.modules:
        yield (
            "The kernel supports mediated devices (module mdev is loaded), but no driver has registered a parent. "
            "Load the driver of the device that is to be sliced, with its vGPU part."
        )
    elif not cards and not (hardware.css or hardware.ap):
        yield (
            "No driver offers mediated devices: module mdev is not loaded and no graphics card was found "
            "that could be sliced. On a host without such hardware this is as it should be."
        )


def _about_card(card: Card, hardware: Hardware) -> Iterator[str]:
    if card.vendor == _NVIDIA and not card.is_vf:
        yield _about_nvidia(card, hardware)
    elif card.vendor == _INTEL and card.driver == "i915" and "kvmgt" not in hardware.modules:
        yield (
            f"Intel GPU {card.address} runs driver i915 without GVT-g: where the GPU supports it (up to the 10th "
            "generation), boot with i915.enable_gvt=1 and load module kvmgt."
        )


def _about_nvidia(card: Card, hardware: Hardware) -> str:
    if card.driver != "nvidia":
        return (
            f"NVIDIA GPU {card.address} is bound to driver {card.driver or 'none'}: vGPUs need NVIDIA's vGPU host "
            "driver (the one of the vGPU software package, not the graphics driver)."
        )
    if card.vfs_total and not card.vfs_enabled:
        return (
            f"NVIDIA GPU {card.address} has SR-IOV with 0 of {card.vfs_total} virtual functions enabled, and these are "
            f"the parents: run /usr/lib/nvidia/sriov-manage -e {card.address}, or have module vfio.mdev.mdev_vfs do it."
        )
    if "nvidia_vgpu_vfio" not in hardware.modules:
        return (
            f"NVIDIA GPU {card.address} runs driver nvidia, but module nvidia_vgpu_vfio is not loaded: "
            "install the vGPU host driver, and see that service nvidia-vgpu-mgr runs."
        )
    return (
        f"NVIDIA GPU {card.address} runs the vGPU driver but offers no type: see nvidia-smi vgpu -s, the card's mode "
        "(compute or graphics), and the journal of nvidia-vgpu-mgr."
    )


def _about_s390(hardware: Hardware) -> Iterator[str]:
    if hardware.ap and "vfio_ap" not in hardware.modules:
        yield "Crypto adapters (AP bus) can be passed on as mediated devices: load module vfio_ap."
    if hardware.css and "vfio_ccw" not in hardware.modules:
        yield "Channel devices can be passed on as mediated devices: bind their subchannels to module vfio_ccw."


def _about_devices(inventory: Inventory) -> Iterator[str]:
    for device in inventory.devices:
        if device.removing:
            yield (
                f"Device {device.uuid} on {device.parent} is half removed: somebody removed it while it was in use. "
                "Its instance stays taken until its user ends."
            )
        elif device.driver is None:
            yield (
                f"Device {device.uuid} on {device.parent} has no VFIO driver and can't be given to a guest: "
                "on an old kernel load module vfio_mdev, else remove the device and create it anew."
            )
    for broken in inventory.broken:
        yield f"{broken.path} is no definition: {broken.problem}. mdevctl lists none while it is there."
    for parent in inventory.parents:
        if not parent.types:
            yield f"Parent {parent.address} offers no types: its driver may still be starting, or be in another mode."
    if inventory.parents and not any(_has_room(one) for parent in inventory.parents for one in parent.types):
        yield "No parent has room for another device of any type."


def _has_room(kind: Type) -> bool:
    return bool(kind.available_instances)


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
