"""Stand-ins for the drawing of a prediction that kill their process; worker processes import them by name."""

from __future__ import annotations

import os
import signal


def kill_on_good1(prediction, path) -> None:
    """Stand for the system that kills the process of one input."""
    if path.stem == "good1":
        os.kill(os.getpid(), signal.SIGKILL)


def kill_once(prediction, path) -> None:
    """Stand for a process that is killed once, whatever the input."""
    marker = path.parent.parent / "died"
    if path.stem == "good1" and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
