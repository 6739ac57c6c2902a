# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a device that is already active lacks of its definition, and how it gets that.

Attributes that can be read are compared and corrected. Those that can't be read are only in doubt if the start of the
device has not finished (see unfinished.py): the device is then created again, because writing some of its attributes
twice may not be the same. A device in use is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .._frameworks.backend import Backend
from .._frameworks.device_files import WAIT_ERRNOS
from .._host.paths import Host
from .._host.reader import Reader
from .._host.users import with_users
from .._model.errors import KernelRefused, MdevError
from .._model.inventory import AttributeChange, Definition, Device, LiveAttribute
from .._model.refusals import users_text
from .._planning.attributes import correction

_ACTIVE = "already active"


@dataclass(frozen=True)
class Completed:
    """The outcome in words, or the problem; recreate: whether the device should be created again."""

    outcome: str = _ACTIVE
    problem: Optional[str] = None
    recreate: bool = False


@dataclass(frozen=True)
class Completion:
    """An active device and its definition."""

    host: Host
    backend: Backend
    definition: Definition
    device: Device

    def complete(self, unfinished: bool) -> Completed:
        """Corrects the attributes. unfinished: whether the start of the device has not finished."""
        if not self.definition.attributes:
            return Completed()
        live = self._live()
        unread = self._unreadable(live) if unfinished else []
        try:
            changes = correction(self.device, self.definition.attributes, live).changes
        except MdevError as error:
            return self._left(unfinished, error.message)
        if unread:
            users = self._users()
            if users is None:
                return Completed(recreate=True)
            return Completed(problem=_in_doubt(unread, users))
        return self._corrected(changes, unfinished) if changes else Completed()

    def remove(self) -> None:
        """Removes the device, which is unused, to create it again."""
        self.backend.remove(self.device)

    def _live(self) -> tuple[LiveAttribute, ...]:
        names = tuple(attribute.name for attribute in self.definition.attributes)
        return self.backend.device_files.live_attributes(self.device, names)

    def _unreadable(self, live: tuple[LiveAttribute, ...]) -> list[str]:
        """The attributes that nothing reports."""
        rules = self.device.framework.attribute_rules(self.device.device_api)
        reported = rules.names if rules is not None else frozenset()
        return [attribute.name for attribute in live if not attribute.readable and attribute.name not in reported]

    def _corrected(self, changes: tuple[AttributeChange, ...], unfinished: bool) -> Completed:
        names = ", ".join(dict.fromkeys(f"'{change.write.name}'" for change in changes))
        users = self._users()
        if users is not None:
            return self._left(unfinished, f"attribute {names} differs from the definition, but the device {users}")
        try:
            for change in changes:
                self.backend.write_attribute(self.device, change.write)
        except KernelRefused as error:
            if error.errno not in WAIT_ERRNOS:
                raise
            return self._left(unfinished, error.message)
        return Completed(f"{_ACTIVE}, attribute {names} was set")

    def _left(self, unfinished: bool, reason: str) -> Completed:
        """A device that can't be corrected. It is complete if it was started with other attributes on purpose."""
        if unfinished or self._users() is None:
            return Completed(problem=reason)
        return Completed(f"{_ACTIVE}, left as it is: {reason}. The definition takes effect at the next start")

    def _users(self) -> Optional[str]:
        """Who uses the device, in words. None if nobody does. Unknown users count."""
        users = with_users(self.host, Reader(), (self.device,))[0].users
        if users is None:
            return "may be in use: not all processes could be examined"
        if not users:
            return None
        return f"is in use by {users_text(users)}"


def _in_doubt(names: list[str], users: str) -> str:
    quoted = ", ".join(f"'{name}'" for name in names)
    return (
        f"it was created by a run that was interrupted, attribute {quoted} may not be set and can't be read, and the "
        f"device {users}. Stop this user, then run systemctl restart vfio-mdev.service"
    )
