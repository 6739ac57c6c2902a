# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's command line: ``python3 -m lab VERB …``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

from lab import hosts, image, inventory, packages, qemu, ssh
from lab.cache import host_folder
from lab.errors import LabError
from lab.machine import Machine, shell_line
from lab.suites import ALL_HOSTS, LETTERS, SUITES, HostName, parse_host, select

_TIMED_OUT = 124
# The hosts of a suite if none are named.
_PAIR = LETTERS[:2]


def main(arguments: Sequence[str]) -> int:
    """Run the verb that the arguments name. The exit code is 1 for the lab's own errors."""
    options = _parser().parse_args(arguments)
    try:
        result: int = options.do(options)
    except LabError as error:
        print(f"lab: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    build = verbs.add_parser("build", help="build the images of suites (default: both)")
    build.add_argument("suites", nargs="*", metavar="SUITE", choices=[*SUITES, []])
    build.set_defaults(do=_build)

    for name, do, text in (
        ("up", _up, "start hosts (default: both of trixie); build and boot them first if necessary"),
        ("restore", _restore, "restore hosts to the clean snapshot taken after boot"),
        ("plug", _plug, "add a card with SR-IOV to running hosts"),
        ("inventory", _inventory, "start hosts if necessary and print the path of their Ansible inventory"),
        ("down", _down, "stop hosts (default: all)"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("--suite", action="append", choices=SUITES, help="may be given twice")
        verb.add_argument("--host", action="append", choices=LETTERS, help="may be given twice")
        verb.set_defaults(do=do)

    run = verbs.add_parser("run", help="run a command on a host; its output and exit code are passed on")
    run.add_argument("--timeout", type=float, default=120.0, metavar="SECONDS", help="default 120")
    run.add_argument("name", metavar="HOST", type=_host_name)
    run.add_argument("command", nargs="+", help="one argument is a line for the shell, several are passed literally")
    run.set_defaults(do=_run)

    for name, do, text in (("ssh", _ssh, "open a shell on a host"), ("reboot", _reboot, "reboot a host")):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("name", metavar="HOST", type=_host_name)
        verb.set_defaults(do=do)

    verbs.add_parser("status", help="show which images are built and which hosts run").set_defaults(do=_status)
    verbs.add_parser("packages", help="list distribution packages that would be installed").set_defaults(do=_packages)
    return parser


def _host_name(text: str) -> HostName:
    try:
        return parse_host(text)
    except LabError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _selection(
    options: argparse.Namespace, default_suites: Sequence[str], default_letters: Sequence[str] = _PAIR
) -> list[HostName]:
    return select(options.suite or default_suites, options.host or default_letters)


def _build(options: argparse.Namespace) -> int:
    hosts.build(options.suites or SUITES)
    return 0


def _up(options: argparse.Namespace) -> int:
    _write_inventory(hosts.up(_selection(options, SUITES[:1])))
    return 0


def _restore(options: argparse.Namespace) -> int:
    _write_inventory(hosts.restore(_selection(options, SUITES[:1])))
    return 0


def _write_inventory(selected: Sequence[Machine]) -> None:
    """The inventory of a scenario has its own hosts only: other hosts come and go at the same time."""
    inventory.write(selected if inventory.is_private() else hosts.running())


def _plug(options: argparse.Namespace) -> int:
    hosts.plug_card(_selection(options, SUITES[:1]))
    return 0


def _inventory(options: argparse.Namespace) -> int:
    print(inventory.write(hosts.up(_selection(options, SUITES[:1]))))
    return 0


def _down(options: argparse.Namespace) -> int:
    hosts.down(_selection(options, SUITES, LETTERS))
    return 0


def _run(options: argparse.Namespace) -> int:
    machine = hosts.find(options.name)
    command = options.command[0] if len(options.command) == 1 else options.command
    client = ssh.command(machine.ssh_port, machine.image.ssh_key, ["-o", "BatchMode=yes"])
    try:
        return subprocess.run([*client, shell_line(command)], timeout=options.timeout, check=False).returncode
    except subprocess.TimeoutExpired:
        print(
            f"lab: error: not done after {options.timeout:.0f} s; it may still run on {options.name}", file=sys.stderr
        )
        return _TIMED_OUT


def _ssh(options: argparse.Namespace) -> int:
    machine = hosts.find(options.name)
    client = ssh.command(machine.ssh_port, machine.image.ssh_key)
    os.execvp(client[0], client)


def _reboot(options: argparse.Namespace) -> int:
    hosts.find(options.name).reboot()
    return 0


def _status(_options: argparse.Namespace) -> int:
    for suite in SUITES:
        built = image.locate(suite)
        print(f"{suite}: image {built.folder.name} {'built' if built.folder.is_dir() else 'not built'}")
    up = {machine.name: machine for machine in hosts.running()}
    for name in ALL_HOSTS:
        machine = up.get(name)
        state = f"runs, ssh port {machine.ssh_port}, pid {qemu.running(machine.files)}" if machine else "does not run"
        print(f"{name}: {state}, console {host_folder(name) / 'console.log'}")
    return 0


def _packages(_options: argparse.Namespace) -> int:
    for name in packages.missing():
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
