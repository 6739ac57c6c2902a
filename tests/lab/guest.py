# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest that can migrate with its devices on the lab's hosts: 64 MiB, firmware only."""

from __future__ import annotations

_DEVICE = """<hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci'>
      <source><address uuid='{uuid}'/></source>
    </hostdev>"""

# QEMU migrates mtty only with enable-migration=on, and a kernel without IOMMUFD does not track dirty pages.
_OVERRIDE = """<qemu:device alias='hostdev{number}'><qemu:frontend>
      <qemu:property name='x-device-dirty-page-tracking' type='string' value='off'/>
      <qemu:property name='enable-migration' type='string' value='on'/>
    </qemu:frontend></qemu:device>"""

# The whole program of a restless guest, in real mode: at each clock tick (18 a second) it writes to the 128 pages of
# 512 KiB of memory.
_RESTLESS = bytes.fromhex(
    "b80010"  # first: mov ax, 0x1000
    "8ec0"  # next: mov es, ax
    "31ff"  # xor di, di
    "b91000"  # mov cx, 0x10
    "ab"  # page: stosw
    "81c7fe0f"  # add di, 0x0ffe
    "e2f9"  # loop page
    "050010"  # add ax, 0x1000
    "3d0090"  # cmp ax, 0x9000
    "72ea"  # jb next
    "fb"  # sti
    "f4"  # hlt
    "ebe3"  # jmp first
)
RESTLESS_DISK = "/var/lib/libvirt/images/restless.img"
_DISK = f"""<disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{RESTLESS_DISK}'/><target dev='vda' bus='virtio'/><readonly/>
    </disk>"""

# The trace shows the states of devices in the guest's log.
_GUEST = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <cpu mode='custom' match='exact'><model>qemu64</model></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <serial type='null'/>
    <memballoon model='none'/>
    {devices}
  </devices>
  <qemu:commandline>
    <qemu:arg value='-d'/>
    <qemu:arg value='trace:vfio_migration_set_device_state'/>
  </qemu:commandline>
  {override}
</domain>
"""


def restless_disk() -> bytes:
    """A disk with a boot sector: the guest that starts from it never stops changing its memory."""
    return _RESTLESS.ljust(510, b"\0") + b"\x55\xaa" + bytes(1024 * 1024 - 512)


def guest_xml(name: str, *uuids: str, restless: bool = False) -> str:
    """The guest's XML, with these devices. restless: whether it starts from restless_disk()."""
    override = "".join(_OVERRIDE.format(number=number) for number in range(len(uuids)))
    return _GUEST.format(
        name=name,
        devices="".join(_DEVICE.format(uuid=uuid) for uuid in uuids) + (_DISK if restless else ""),
        override=f"<qemu:override>{override}</qemu:override>" if uuids else "",
    )
