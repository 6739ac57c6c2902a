# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Acting through libvirt's node device API, with the libvirt-python of the distribution.

Source: libvirt's libvirt-nodedev.h. libvirt names a device mdev_UUID_PARENT, before 7.8 mdev_UUID. It learns about
changes from udev, so it may not know yet about a device that others created a moment ago.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from ..._host.definitions import DefinitionFiles
from ..._host.reader import Reader
from ..._host.users import exclusive_use
from ..._model.addresses import device_nodedev
from ..._model.errors import BackendFailed, MissingLibrary
from ..._model.inventory import Attribute, Definition, Device, Parent
from ..._xml.nodedev import request_xml
from ..backend import Backend
from ..device_files import DeviceFiles
from .framework import MDEV
from .kernel import MdevKernel

_LOOKUP_SECONDS = 5.0
# libvirt itself waits without a limit for a daemon that does not answer, and the daemon for mdevctl.
_ANSWER_SECONDS = 60.0
_POLL_SECONDS = 0.1
# mdevctl's error if a definition already exists, as libvirt passes it on.
_OVERWRITE = "overwrite existing config"
# libvirt's answer about a definition that it does not know yet.
_TRANSIENT = "cannot set autostart for transient device"


class _NoAnswer(Exception):
    """libvirt did not return in time. What it was asked for may still happen."""


@dataclass
class _Calls:
    """Calls with a deadline, each in a thread that can be abandoned: libvirt-python releases Python's lock meanwhile.

    hangs: whether a call has not returned. Further ones would wait for it.
    """

    hangs: bool = False

    def __call__(self, function: Callable[..., Any], *arguments: object) -> Any:
        if self.hangs:
            raise _NoAnswer("it has not answered an earlier call")
        results: list[Any] = []
        errors: list[BaseException] = []

        def call() -> None:
            try:
                results.append(function(*arguments))
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(_ANSWER_SECONDS)
        if errors:
            raise errors[0]
        if not results:
            self.hangs = True
            raise _NoAnswer(f"no answer within {_ANSWER_SECONDS:g} s")
        return results[0]


@dataclass(frozen=True)
class LibvirtBackend(Backend):
    """The backend 'libvirt'. library: the module libvirt. connection: an open virConnect.

    Attributes of active devices are written to sysfs: libvirt does not change them without a vendor's callout.
    """

    library: Any
    connection: Any
    call: _Calls = field(default_factory=_Calls)

    @property
    def kernel(self) -> MdevKernel:
        """Finds the devices that libvirt creates."""
        return MdevKernel(self.device_files)

    def available_instances(self, parent: Parent, type_id: str) -> Optional[int]:
        """How many devices of the type the parent has left now. None if it can't be read."""
        return self.kernel.available_instances(parent, type_id)

    def create(self, parent: Parent, type_id: str, key: str, attributes: tuple[Attribute, ...]) -> Device:
        """virNodeDeviceCreateXML. libvirt runs mdevctl, which removes the device again when an attribute fails."""
        text = request_xml(key, parent.nodedev, type_id, attributes)
        with self._errors_of(f"creating device {key} of type {type_id} on {parent.address}"):
            self.call(self.connection.nodeDeviceCreateXML, text, 0)
        return self.kernel.appeared(parent, type_id, key)

    def remove(self, device: Device) -> None:
        """virNodeDeviceDestroy. libvirt tests for use in the same way, so the group must not stay open."""
        with exclusive_use(self.device_files.host, device):
            pass
        with self._errors_of(f"destroying device {device.id} on {device.parent}"):
            self.call(self._lookup(device.id, device.parent).destroy)

    def define(self, definition: Definition, before: Optional[Definition]) -> None:
        """virNodeDeviceDefineXML and virNodeDeviceSetAutostart."""
        if before is not None:
            self.definitions.name_by_key(before)
        try:
            self._define(definition)
        except BackendFailed as error:
            # With mdevctl before 1.3 libvirt can't replace a definition.
            if before is None or _OVERWRITE not in error.answer:
                raise
            self._define_again(definition, before)

    def _define(self, definition: Definition) -> None:
        parent = self._parent_nodedev(definition.parent)
        text = request_xml(definition.id, parent, definition.type_id, definition.attributes)
        with self._errors_of(f"defining device {definition.id} on {definition.parent}"):
            self._set_autostart(self.call(self.connection.nodeDeviceDefineXML, text, 0), definition)

    def _set_autostart(self, defined: Any, definition: Definition) -> None:
        """virNodeDeviceSetAutostart, again while libvirt handles older events about the device that it has defined."""
        end = time.monotonic() + _LOOKUP_SECONDS
        while True:
            try:
                self.call(defined.setAutostart, int(definition.autostart))
                return
            except self.library.libvirtError as error:
                if _TRANSIENT not in str(error.get_error_message()) or time.monotonic() > end:
                    raise
            time.sleep(_POLL_SECONDS)
            defined = self._lookup(definition.id, definition.parent)

    def _define_again(self, definition: Definition, before: Definition) -> None:
        self.undefine(before)
        try:
            self._define(definition)
        except BackendFailed:
            self._define(before)
            raise

    def undefine(self, definition: Definition) -> None:
        """virNodeDeviceUndefine."""
        self.definitions.name_by_key(definition)
        with self._errors_of(f"undefining device {definition.id} on {definition.parent}"):
            self.call(self._lookup(definition.id, definition.parent).undefine)

    def _parent_nodedev(self, address: str) -> str:
        """libvirt's name for a parent, which is the only one it knows."""
        parent = MDEV.read(self.device_files.host, Reader()).parent(address)
        return parent.nodedev if parent is not None else address

    def _lookup(self, uuid: str, parent: str) -> Any:
        end = time.monotonic() + _LOOKUP_SECONDS
        names = (device_nodedev(uuid, parent), device_nodedev(uuid, "").rstrip("_"))
        while True:
            for name in names:
                try:
                    return self.call(self.connection.nodeDeviceLookupByName, name)
                except self.library.libvirtError:
                    if name == names[-1] and time.monotonic() > end:
                        raise
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def _errors_of(self, action: str) -> Iterator[None]:
        """Raises libvirt's errors as errors of the action."""
        try:
            yield
        except self.library.libvirtError as error:
            answer = str(error.get_error_message() or error).strip()
            raise BackendFailed(
                f"{action} failed: libvirt answered '{answer}'", backend="libvirt", answer=answer
            ) from error
        except _NoAnswer as error:
            late = BackendFailed(
                f"{action} failed: libvirt gave no result, {error}. Check its daemon and the kernel log",
                backend="libvirt",
            )
            raise late.extended(
                after=". NOT rolled back: libvirt may still do it. See what it left with virsh nodedev-list --all",
                rolled_back=False,
            ) from error


def libvirt_backend(device_files: DeviceFiles, definitions: DefinitionFiles, uri: str) -> LibvirtBackend:
    """The backend with an open connection."""
    try:
        import libvirt
    except ImportError as error:
        raise MissingLibrary(
            f"backend: libvirt needs the Python library libvirt on the host, which could not be imported ({error}). "
            "Install python3-libvirt there (not from PyPI, which would compile it), or use backend: sysfs",
            library="libvirt",
        ) from error
    # Errors are also raised. If they were printed too, the module's output would not be valid JSON.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    call = _Calls()
    try:
        connection = call(libvirt.open, uri)
    except (libvirt.libvirtError, _NoAnswer) as error:
        answer = "" if isinstance(error, _NoAnswer) else str(error.get_error_message() or error).strip()
        reason = f"it answered '{answer}'" if answer else str(error)
        raise BackendFailed(
            f"connecting to libvirt at {uri} failed: {reason}. Check that its daemon is "
            "running, or use backend: sysfs, which needs no daemon",
            backend="libvirt",
            answer=answer,
        ) from error
    return LibvirtBackend(device_files, definitions, libvirt, connection, call)
