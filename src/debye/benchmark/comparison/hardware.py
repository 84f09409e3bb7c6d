"""What a run was computed on, in words."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def hardware(device: str = "cpu") -> str:
    """Return processor and number of cores, or the name of the GPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(torch.device(device))
    return f"{_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    """Return the name of the processor as Linux has it, else what Python knows."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
