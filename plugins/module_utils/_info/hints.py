# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hints for operators who see no devices, or fewer than expected: the reason, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from .._frameworks.vendor_vfio.framework import VENDOR_VFIO
from .._model.inventory import Card, Hardware, Inventory

_NVIDIA = "0x10de"
_INTEL = "0x8086"


def hints(inventory: Inventory, hardware: Hardware) -> list[str]:
    """Explanations of this inventory. Empty if nothing is unusual."""
    about_devices = list(_about_devices(inventory))
    if not inventory.parents:
        return [*_about_nothing(hardware), *about_devices]
    return [*_about_vendor_vfio(inventory), *about_devices]


def _about_vendor_vfio(inventory: Inventory) -> Iterator[str]:
    functions = [parent.address for parent in inventory.parents if parent.framework is VENDOR_VFIO]
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
            "Load the driver of the device that should offer them, including its vGPU module."
        )
    elif not cards and not (hardware.css or hardware.ap):
        yield (
            "No driver offers mediated devices: module mdev is not loaded and no graphics card was found "
            "that could be sliced. This is expected on hosts without such hardware."
        )


def _about_card(card: Card, hardware: Hardware) -> Iterator[str]:
    if card.vendor == _NVIDIA and not card.is_vf:
        yield _about_nvidia(card, hardware)
    elif card.vendor == _INTEL and card.driver == "i915" and "kvmgt" not in hardware.modules:
        yield (
            f"Intel GPU {card.address} runs driver i915 without GVT-g. If the GPU supports it (up to the 10th "
            "generation), boot with i915.enable_gvt=1 and load module kvmgt."
        )


def _about_nvidia(card: Card, hardware: Hardware) -> str:
    if card.driver != "nvidia":
        return (
            f"NVIDIA GPU {card.address} is bound to driver {card.driver or 'none'}. vGPUs need NVIDIA's vGPU host "
            "driver (from the vGPU software package, not the graphics driver)."
        )
    if card.vfs_total and not card.vfs_enabled:
        return (
            f"NVIDIA GPU {card.address} has 0 of {card.vfs_total} virtual functions (SR-IOV) enabled, and these are "
            f"the parents. Use module vfio.mdev.mdev_vfs, or run /usr/lib/nvidia/sriov-manage -e {card.address}."
        )
    if "nvidia_vgpu_vfio" not in hardware.modules:
        return (
            f"NVIDIA GPU {card.address} runs driver nvidia, but module nvidia_vgpu_vfio is not loaded. "
            "Install the vGPU host driver, and make sure that service nvidia-vgpu-mgr is running."
        )
    return (
        f"NVIDIA GPU {card.address} runs the vGPU driver but offers no type. Check nvidia-smi vgpu -s, the card's mode "
        "(compute or graphics), and the journal of nvidia-vgpu-mgr."
    )


def _about_s390(hardware: Hardware) -> Iterator[str]:
    if hardware.ap and "vfio_ap" not in hardware.modules:
        yield "Crypto adapters (AP bus) can be passed to guests as mediated devices: load module vfio_ap."
    if hardware.css and "vfio_ccw" not in hardware.modules:
        yield (
            "Channel devices can be passed to guests as mediated devices: load module vfio_ccw and bind their "
            "subchannels to it."
        )


def _about_devices(inventory: Inventory) -> Iterator[str]:
    for device in inventory.devices:
        if device.removing:
            yield (
                f"Device {device.id} on {device.parent} is half removed: somebody removed it while it was in use. "
                "Its instance is not available until the process that uses it ends."
            )
        elif device.driver is None:
            yield (
                f"Device {device.id} on {device.parent} has no VFIO driver and can't be given to a guest: "
                "on an old kernel, load module vfio_mdev. Otherwise, remove the device and create it again."
            )
    for broken in inventory.broken:
        effect = " mdevctl lists none while it exists." if broken.blocks_mdevctl else ""
        yield f"{broken.path} is not a valid definition: {broken.problem}.{effect}"
    for parent in inventory.parents:
        if not parent.types:
            yield f"Parent {parent.address} offers no types: its driver may still be starting, or in another mode."
    if inventory.parents and not any(
        mdev_type.available_instances for parent in inventory.parents for mdev_type in parent.types
    ):
        yield "No parent has room for another device of any type."


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
