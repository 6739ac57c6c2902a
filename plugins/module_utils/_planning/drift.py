# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a device and its definition disagree. Pure."""

from __future__ import annotations

from .._model.device_state import State
from .._model.inventory import AP_API, Definition, Device, Drift, Inventory


def disagreement(state: State, inventory: Inventory) -> tuple[Drift, ...]:
    """How the kernel differs from the definition, as far as that can be told without being asked for anything."""
    definition = state.definition
    if definition is None:
        return ()
    found = []
    elsewhere = inventory.device(definition.uuid)
    if elsewhere is not None and elsewhere.parent != definition.parent:
        found.append(Drift("parent", definition.parent, elsewhere.parent))
    elif state.device is None and definition.autostart:
        found.append(Drift("active", "true", "false"))
    elif state.device is not None and state.device.type_id not in (None, definition.type_id):
        found.append(Drift("type", definition.type_id, state.device.type_id or ""))
    elif state.device is not None and state.device.device_api == AP_API:
        found.extend(_matrix_drift(state.device, definition))
    parents = [one.parent for one in inventory.definitions_of(definition.uuid)]
    if len(parents) > 1:
        found.append(Drift("defined", f"on {definition.parent}", "on " + " and ".join(parents)))
    return tuple(found)


def _matrix_drift(device: Device, definition: Definition) -> tuple[Drift, ...]:
    # Hosts of other architectures do not pay for the import.
    from .._frameworks.drivers.ap_matrix import matrix_drift, matrix_of

    return matrix_drift(definition.attributes, matrix_of(device.attributes))
