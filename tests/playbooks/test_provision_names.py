# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook provision on hosts with misspelt variables: an error before anything is touched."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
SET = {"name": "desktops", "devices": [{"type": "mtty-1", "count": 2}]}

# Hosts by name: their variables, and the text that they fail with.
HOSTS: dict[str, tuple[dict[str, Any], str]] = {
    "variable": ({"provision_set": [SET]}, "provision_set is unknown: did you mean provision_sets?"),
    "card": (
        {"provision_cards": [{"address": "0000:41:00.0", "num_vf": 4}]},
        "provision_cards[0].num_vf is unknown: did you mean num_vfs?",
    ),
    "set": ({"provision_sets": [{**SET, "purg": "owned"}]}, "provision_sets[0].purg is unknown: did you mean purge?"),
    "entry": (
        {"provision_sets": [SET, {"name": "b", "devices": [{"type": "mtty-1", "cuont": 2}]}]},
        "provision_sets[1].devices[0].cuont is unknown: did you mean count?",
    ),
    "attribute": (
        {"provision_sets": [{**SET, "attributes": [{"nane": "a", "value": "1"}]}]},
        "provision_sets[0].attributes[0].nane is unknown: did you mean name?",
    ),
    "value": ({"provision_wait_timeout": "soon"}, "cannot be converted to an int"),
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("names")
    (folder / "ansible_collections/vfio").mkdir(parents=True)
    (folder / "ansible_collections/vfio/mdev").symlink_to(CHECKOUT)
    common = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {name: {**common, **variables} for name, (variables, _text) in HOSTS.items()}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.json", "vfio.mdev.provision"],
        cwd=folder,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(folder), "ANSIBLE_NOCOLOR": "1", "HOME": str(folder)},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", HOSTS)
def test_a_misspelt_name_is_refused_before_anything_is_touched(printed: str, name: str) -> None:
    failure = next(line for line in printed.splitlines() if line.startswith(f"fatal: [{name}]"))
    assert HOSTS[name][1] in failure
    recap = re.search(rf"^{name} +: ok=(\d+) +changed=(\d+)", printed, re.MULTILINE)
    # The first task of all names the role, and the next checks names.
    assert recap is not None
    assert recap.groups() == ("2" if name == "value" else "1", "0"), printed
