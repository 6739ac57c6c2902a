# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a requested device will be on the parent that was chosen for it. Pure."""

from __future__ import annotations

from .._model.inventory import Attribute, Definition, Device
from .._model.request import DeviceRequest
from .placement import Choice


def definition_on(request: DeviceRequest, choice: Choice) -> Definition:
    """The definition of a requested device on the chosen parent."""
    parent = choice.parent
    return Definition(
        id=parent.framework.device_id(request.key, parent.address),
        key=request.key,
        parent=parent.address,
        type_id=choice.type.id,
        framework=parent.framework,
        autostart=request.autostart,
        attributes=request.attributes or (),
    )


def expected_device(key: str, choice: Choice, attributes: tuple[Attribute, ...]) -> Device:
    """The device that the kernel will have on the chosen parent. key: that of the request."""
    parent = choice.parent
    device_id = parent.framework.device_id(key, parent.address)
    return Device(
        id=device_id,
        key=key,
        parent=parent.address,
        path=parent.framework.device_path(parent.path, device_id),
        nodedev=parent.framework.nodedev(device_id, parent.address),
        parent_nodedev=parent.nodedev,
        framework=parent.framework,
        type_id=choice.type.id,
        type_name=choice.type.name,
        device_api=choice.type.device_api,
        numa_node=parent.numa_node,
        users=(),
        attributes=attributes,
    )
