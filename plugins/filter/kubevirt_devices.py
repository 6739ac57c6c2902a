# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filter kubevirt_devices."""

from __future__ import annotations

DOCUMENTATION = r"""
name: kubevirt_devices
short_description: Write KubeVirt's permittedHostDevices for mediated devices
version_added: 1.0.0
description:
  - Returns C(permittedHostDevices) of the KubeVirt resource, with one entry for each type of mediated devices that the
    host offers.
  - vGPUs that are set on virtual functions have no entry. KubeVirt selects them as PCI devices.
  - Unless its C(mediatedDevicesConfiguration) has C(enabled=false), KubeVirt removes devices of all types that this
    configuration does not list. In versions without C(enabled), the feature gate C(DisableMDEVConfiguration) prevents
    that.
options:
  _input:
    description: The result of M(vfio.mdev.mdev_info).
    type: dict
    required: true
  domain:
    description: The domain of the names of resources, usually that of the vendor.
    type: str
    required: true
positional: domain
seealso:
  - module: vfio.mdev.mdev_info
  - name: Host devices assignment
    description: Documentation of KubeVirt.
    link: https://kubevirt.io/user-guide/compute/host-devices/
author:
  - The vfio.mdev contributors (@vfio-mdev)
"""

EXAMPLES = r"""
- name: Retrieve the types of the node
  vfio.mdev.mdev_info:
    gather: [cards, types]
  register: node

- name: Permit the types in the cluster
  kubernetes.core.k8s:
    state: patched
    api_version: kubevirt.io/v1
    kind: KubeVirt
    name: kubevirt
    namespace: kubevirt
    definition:
      spec:
        configuration:
          mediatedDevicesConfiguration:
            enabled: false
          permittedHostDevices: "{{ node | vfio.mdev.kubevirt_devices('nvidia.com') }}"
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The value of C(permittedHostDevices).
  type: dict
  sample:
    mediatedDevices:
      - mdevNameSelector: GRID T4-1Q
        resourceName: nvidia.com/GRID_T4-1Q
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.vfio.mdev.plugins.plugin_utils._consumers import kubevirt_devices as permitted
from ansible_collections.vfio.mdev.plugins.plugin_utils._filter_errors import filter_errors

_EXPECTED = "a result of vfio.mdev.mdev_info with types"


def kubevirt_devices(info: Mapping[str, Any], domain: str) -> dict[str, list[dict[str, Any]]]:
    """The value of permittedHostDevices."""
    with filter_errors("kubevirt_devices", _EXPECTED):
        return permitted(info, domain)


class FilterModule:
    """The class that Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Returns the filter by its name."""
        return {"kubevirt_devices": kubevirt_devices}
