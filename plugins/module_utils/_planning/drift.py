# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a device and its definition disagree. Pure."""

from __future__ import annotations

from .._model.device_state import State
from .._model.inventory import Drift, Inventory


def find_drift(state: State, inventory: Inventory) -> tuple[Drift, ...]:
    """How the device in the kernel differs from its definition, as far as this is visible without a request."""
    definition = state.definition
    if definition is None:
        return ()
    drift: list[Drift] = []
    elsewhere = inventory.device(definition.key)
    if elsewhere is not None and elsewhere.parent != definition.parent:
        drift.append(Drift("parent", definition.parent, elsewhere.parent))
    elif state.device is None and definition.autostart:
        drift.append(Drift("active", "true", "false"))
    elif state.device is not None and state.device.type_id not in (None, definition.type_id):
        drift.append(Drift("type", definition.type_id, state.device.type_id or ""))
    elif state.device is not None:
        rules = state.framework.attribute_rules(state.device.device_api)
        if rules is not None:
            drift.extend(rules.drift(definition.attributes, state.device.attributes))
    parents = [stored.parent for stored in inventory.definitions_of(definition.key)]
    if len(parents) > 1:
        drift.append(Drift("defined", f"on {definition.parent}", "on " + " and ".join(parents)))
    return tuple(drift)
