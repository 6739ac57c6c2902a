# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This machine's own apt configuration, turned into the sources of another Debian suite.

apt itself reads the source files in any format and reports which of them contain the Debian archive:
the signed Release file of an archive names its Origin and Label (apt-get(8), indextargets).
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.process import output
from lab.progress import say

_FORMAT = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)|$(SOURCESENTRY)"
_APT_HELPER = Path("/usr/lib/apt/apt-helper")
_ARCHIVE_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_KEYRING_PATTERN = re.compile(r"signed-by\s*[:=]\s*(/[^\s\],]+)", re.IGNORECASE)
# Options of apt that control the access to the archive; all other options keep apt's defaults.
_REACHING = re.compile(r"^Acquire::(https?|Retries|ForceIPv[46]|Check-Valid-Until|Check-Date)\b")


@dataclass(frozen=True)
class Archive:
    """One archive that this machine uses: ``label`` is ``Debian`` or ``Debian-Security``."""

    label: str
    uri: str
    source_file: Path


def parse_targets(text: str) -> list[Archive]:
    """The Debian archives in the output of ``apt-get indextargets``, without those of other origins."""
    archives: dict[str, Archive] = {}
    for line in text.splitlines():
        origin, label, component, uri, entry = line.split("|")
        if origin == "Debian" and label in ("Debian", "Debian-Security") and component == "main":
            archives.setdefault(label, Archive(label, uri.rstrip("/"), Path(entry.rpartition(":")[0])))
    return list(archives.values())


def read_archives() -> list[Archive]:
    """The Debian archives of this machine. Raises LabError if apt knows none."""
    text = output(["apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages"], deadline=60)
    archives = parse_targets(text)
    if not any(archive.label == "Debian" for archive in archives):
        raise LabError(
            "apt knows no source of the Debian archive on this machine (Origin and Label Debian, component main). "
            "The lab builds its hosts from there: add the archive to apt's sources and run `apt-get update`."
        )
    return archives


def keyrings(archives: Iterable[Archive]) -> list[Path]:
    """The key files that the machine's sources name, and Debian's own key file."""
    named = [
        Path(match)
        for archive in archives
        if archive.source_file.is_file()
        for match in _KEYRING_PATTERN.findall(archive.source_file.read_text())
    ]
    return [path for path in dict.fromkeys([*named, _ARCHIVE_KEYRING]) if path.is_file()]


def pockets(archives: Iterable[Archive], suite: str) -> list[tuple[str, str]]:
    """Pairs (URI, release) of all pockets that may exist for a suite, the suite itself first."""
    releases = {"Debian": (suite, f"{suite}-updates"), "Debian-Security": (f"{suite}-security",)}
    return [
        (archive.uri, release)
        for archive in sorted(archives, key=lambda archive: archive.label)
        for release in releases[archive.label]
    ]


def source_lines(reachable: Iterable[tuple[str, str]], keys: Sequence[Path]) -> str:
    """The sources.list for these pockets."""
    signed_by = ",".join(str(key) for key in keys)
    option = f"[signed-by={signed_by}] " if signed_by else ""
    return "".join(f"deb {option}{uri} {release} main\n" for uri, release in reachable)


def sources_for(suite: str) -> str:
    """The sources.list to build a suite from. Raises LabError if the machine's archive does not have the suite."""
    archives = read_archives()
    candidates = pockets(archives, suite)
    reachable = [pocket for pocket in candidates if _is_reachable(*pocket)]
    if candidates[0] not in reachable:
        uri, release = candidates[0]
        raise LabError(
            f"this machine's Debian archive {uri} has no {release} (dists/{release}/InRelease is not available). "
            "The lab needs an archive with trixie and bookworm."
        )
    return source_lines(reachable, keyrings(archives))


def _is_reachable(uri: str, release: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            output(
                [_APT_HELPER, "download-file", f"{uri}/dists/{release}/InRelease", f"{folder}/InRelease"], deadline=60
            )
        except LabError as error:
            say(f"{release} is left out because its InRelease could not be downloaded: {str(error).splitlines()[-1]}")
            return False
    return True


def reaching_options() -> list[str]:
    """This machine's apt options for the access to an archive (proxy, date checks), one line per option."""
    lines = output(["apt-config", "dump"], deadline=60).splitlines()
    return [line.rstrip(";") for line in lines if _REACHING.match(line) and not line.endswith('"";')]
