# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hints for operators: why a card or a host offers less than expected, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from .._model.addresses import address_key
from .._model.inventory import Card, Hardware, Inventory, Parent

_NVIDIA = "0x10de"
_INTEL = "0x8086"
_AMD = "0x1002"
_SRIOV_VENDORS = {_INTEL: "Intel", _AMD: "AMD"}

NO_ROOM = "No parent has room for another device of any type."
USE_UNKNOWN = (
    "Some processes in /proc could not be examined, so it is unknown whether these devices are in use: {}. Run the "
    "module as root (become: true), on the host itself or with its /proc."
)


def hints(inventory: Inventory, hardware: Hardware) -> list[str]:
    """Explanations of this inventory. Empty if nothing is unusual."""
    room = inventory.parents and not any(
        mdev_type.available_instances for parent in inventory.parents for mdev_type in parent.types
    )
    return [*explanations(inventory, hardware), *problems(inventory, hardware), *([NO_ROOM] if room else [])]


def explanations(inventory: Inventory, hardware: Hardware) -> list[str]:
    """What is as it should be, but may surprise."""
    addresses: dict[str, list[str]] = {}
    for parent in inventory.parents:
        if parent.framework.explanation:
            addresses.setdefault(parent.framework.explanation, []).append(parent.address)
    return [
        *(text for card in hardware.cards for text in _about_sriov(card)),
        *(f"{text}: {_listed(parents)}." for text, parents in addresses.items()),
    ]


def problems(inventory: Inventory, hardware: Hardware) -> list[str]:
    """What is wrong, or keeps devices from being created."""
    offering = {parent.card for parent in inventory.parents}
    texts = [
        text
        for card in hardware.cards
        if card.address not in offering
        for text in _about_card(card, hardware, offering)
    ]
    if not inventory.parents:
        has_cards = bool(texts) or any(True for card in hardware.cards for _text in _about_sriov(card))
        texts += _about_nothing(hardware, has_cards)
    return [*texts, *_about_empty_cards(inventory), *_about_devices(inventory)]


def about_use(inventory: Inventory) -> list[str]:
    """Devices of which it is unknown whether they are in use, although somebody looked."""
    unknown = [device.label for device in inventory.devices if device.users is None]
    return [USE_UNKNOWN.format(_listed(unknown))] if unknown else []


def _about_nothing(hardware: Hardware, has_cards: bool) -> Iterator[str]:
    yield from _about_s390(hardware)
    if has_cards:
        return
    if "mdev" in hardware.modules:
        yield (
            "The kernel supports mediated devices (module mdev is loaded), but no driver has registered a parent. "
            "Load the driver of the device that should offer them, including its vGPU module."
        )
    elif not (hardware.css or hardware.ap):
        yield (
            "No driver offers mediated devices: module mdev is not loaded and no graphics card was found "
            "that could be sliced. This is expected on hosts without such hardware."
        )


def _about_sriov(card: Card) -> Iterator[str]:
    """Cards that are sliced by SR-IOV alone. Such a function has no type, it is a PCI device of its own.

    Source: Documentation/ABI/testing/sysfs-driver-intel-xe-sriov; strongtz/i915-sriov-dkms for i915; AMD's GIM driver
    (amd/MxGPU-Virtualization).
    """
    if card.vendor in _SRIOV_VENDORS and card.vfs_total and not card.is_vf:
        yield (
            f"{_SRIOV_VENDORS[card.vendor]} GPU {card.address} (driver {card.driver or 'none'}) is sliced by SR-IOV, "
            f"not by mediated devices: {card.vfs_enabled or 0} of {card.vfs_total} virtual functions are enabled. "
            "Module vfio.mdev.mdev_vfs sets their number. Guests get a function as a PCI device (<hostdev type='pci'>)."
        )


def _about_card(card: Card, hardware: Hardware, offering: set[str]) -> Iterator[str]:
    """A card that offers nothing. What is only possible, and not expected, is said on hosts without parents."""
    if card.is_vf:
        return
    if card.vendor == _NVIDIA:
        yield _about_nvidia(card, hardware)
    elif not offering and _lacks_gvt_g(card, hardware):
        yield (
            f"Intel GPU {card.address} runs driver i915 without GVT-g. If the GPU supports it (up to the 10th "
            "generation), boot with i915.enable_gvt=1 and load module kvmgt."
        )


def _lacks_gvt_g(card: Card, hardware: Hardware) -> bool:
    is_candidate = card.vendor == _INTEL and card.driver == "i915" and not card.vfs_total
    return is_candidate and "kvmgt" not in hardware.modules


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
    if card.vfs_enabled:
        return (
            f"NVIDIA GPU {card.address} has {card.vfs_enabled} virtual functions, but they offer neither mediated "
            "devices nor NVIDIA's vendor VFIO framework. Which of them a card has depends on the kernel: check that "
            "this version of the vGPU driver supports it, and the journal of nvidia-vgpu-mgr."
        )
    return (
        f"NVIDIA GPU {card.address} runs the vGPU driver but offers no type. Check nvidia-smi vgpu -s, the card's mode "
        "(compute or graphics), and the journal of nvidia-vgpu-mgr."
    )


def _about_empty_cards(inventory: Inventory) -> Iterator[str]:
    """Cards that take no device although they have none, once for each card.

    Source: NVIDIA vGPU User Guide: in MIG mode, a vGPU needs a GPU instance that was created before. Without one,
    nothing can be set (harvester/harvester #11133).
    """
    cards: dict[str, list[Parent]] = {}
    for parent in inventory.parents:
        cards.setdefault(parent.card, []).append(parent)
    for address in sorted(cards, key=address_key):
        parents = cards[address]
        offers = [mdev_type for parent in parents for mdev_type in parent.types]
        where = f"Card {address}" if len(parents) > 1 or parents[0].card != parents[0].address else f"Parent {address}"
        modes = inventory.modes(address)
        is_empty = not any(inventory.devices_on(parent.address) for parent in parents)
        if modes.lacks_instances:
            yield f"C{modes.no_instance_text[1:]}."
        elif is_empty and parents[0].driver == "nvidia" and all(offer.available_instances == 0 for offer in offers):
            yield (
                f"{where} has no device, and yet has room for none. If its MIG mode is on, it has no GPU instances: "
                "create them (nvidia-smi mig -cgi PROFILES -C). Otherwise, see the journal of nvidia-vgpu-mgr."
            )
        elif not offers:
            yield f"{where} offers no types: its driver may still be starting, or in another mode."


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


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
