# Copyright: (c) 2026, the vfio.mdev contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nvidia-smi prints, as public logs show it, shortened."""

from __future__ import annotations

import pytest

from ansible_collections.vfio.mdev.plugins.module_utils._frameworks.drivers import nvidia_smi_text as smi
from ansible_collections.vfio.mdev.plugins.module_utils._model.inventory import CardModes

# Source: logs of an H100 NVL (driver 550), an A100 (555) and an RTX PRO 6000 Blackwell (580) in public repositories.
CARDS = """
==============NVSMI LOG==============

Timestamp                                 : Fri Mar  6 10:26:53 2026
Driver Version                            : 550.127.06
CUDA Version                              : Not Found
vGPU Driver Capability
        Heterogenous Multi-vGPU           : Supported

Attached GPUs                             : 2
GPU 00000000:98:00.0
    Product Name                          : NVIDIA H100 NVL
    Addressing Mode                       : N/A
    vGPU Device Capability
        Fractional Multi-vGPU             : Not Supported
        Heterogeneous Time-Slice Profiles : Supported
        Heterogeneous Time-Slice Sizes    : Not Supported
    MIG Mode
        Current                           : Disabled
        Pending                           : Enabled
    Driver Model
        Current                           : N/A
        Pending                           : N/A
    Serial Number                         : 1650522009999
    GPU Virtualization Mode
        Virtualization Mode               : Host VGPU
        Host VGPU Mode                    : SR-IOV
        vGPU Heterogeneous Mode           : Disabled
    ECC Mode
        Current                           : Enabled
        Pending                           : Enabled
GPU 00000001:C8:00.0
    MIG Mode
        Current                           : Enabled
        Pending                           : Enabled
    Serial Number                         : N/A
    GPU Virtualization Mode
        vGPU Heterogeneous Mode           : N/A
"""


def test_cards() -> None:
    cards = smi.parse_cards(CARDS)
    assert cards == {
        "0000:98:00.0": smi.CardText(
            CardModes("0000:98:00.0", mixed_sizes=False, mig=False, serial="1650522009999"),
            mig_pending=True,
            capabilities=("Heterogeneous Time-Slice Sizes: Not Supported",),
        ),
        "0001:c8:00.0": smi.CardText(CardModes("0001:c8:00.0", mixed_sizes=None, mig=True), mig_pending=True),
    }


@pytest.mark.parametrize("text", ["", "No devices were found\n", "GPU \n : \n", "NVIDIA-SMI has failed\n"])
def test_other_output(text: str) -> None:
    assert smi.parse_cards(text) == smi.parse_types(text) == {}
    assert smi.parse_instances(text) == ()


# Source: NVIDIA MIG User Guide; tables of other driver versions are wider.
INSTANCES = """
+-------------------------------------------------------+
| GPU instances:                                        |
| GPU   Name             Profile  Instance   Placement  |
|                          ID       ID       Start:Size |
|=======================================================|
|   0  MIG 1g.5gb+me       20        9          6:1     |
+-------------------------------------------------------+
|   0  MIG 4g.20gb          5        2          0:4     |
+-------------------------------------------------------+
"""


def test_instances() -> None:
    small, big = smi.parse_instances(INSTANCES)
    assert (small, big) == (smi.GpuInstance("1g.5gb+me", "20"), smi.GpuInstance("4g.20gb", "5"))
    assert all(big.has_profile(named) for named in ("5", "4g.20gb", "MIG 4g.20gb"))
    assert not any(small.has_profile(named) for named in ("2", "1g.5gb", "9"))


# Source: bigstack-oss/cubecos, config_gpu.cpp.
TYPES = """
GPU 00000001:C8:00.0
    vGPU Type ID                      : 0x5ef
        Name                          : NVIDIA RTX Pro 6000 Blackwell DC-3Q
        GPU Instance Profile ID       : N/A
        Max Instances                 : 32
        Max Instances Per VM          : 1
        Max Instances Per GI          : N/A
        FB Memory                     : 3072 MiB
    vGPU Type ID                      : 0x619
        Name                          : NVIDIA RTX Pro 6000 Blackwell DC-1-24Q
        GPU Instance Profile ID       : 47
        Max Instances                 : 4
        Max Instances Per VM          : 1
        Max Instances Per GI          : 1
        FB Memory                     : 24576 MiB
    vGPU Type ID                      : 0x700
        Name                          : incomplete
"""


def test_types() -> None:
    [(address, (sliced, backed))] = smi.parse_types(TYPES).items()
    assert address == "0001:c8:00.0"
    assert sliced == smi.VgpuType(1519, "NVIDIA RTX Pro 6000 Blackwell DC-3Q", 3072, 32)
    assert backed == smi.VgpuType(1561, "NVIDIA RTX Pro 6000 Blackwell DC-1-24Q", 24576, 4, "47", 1)
    assert all(sliced.is_named(named) for named in ("1519", "nvidia-1519", "NVIDIA RTX Pro 6000 Blackwell DC-3Q"))
    assert not sliced.is_named("DC-3Q")
    assert backed.description == "framebuffer=24576M, max_instance=4"
