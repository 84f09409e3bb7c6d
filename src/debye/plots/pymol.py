"""PyMOL, found on PATH: runs a script without a screen and returns the images that it made."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from debye.errors import ConfigError, StructureError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROGRAM = "pymol"
VARIABLE = "DEBYE_PYMOL"
"""Environment variable with the path of PyMOL, where it is not on PATH."""
LOG_LINES = 6
"""Last lines of PyMOL's output that an error message repeats."""


class RenderError(StructureError):
    """PyMOL failed, took too long or made no image."""


def find_pymol(path: str | Path | None = None) -> str:
    """Return the path of PyMOL: the one given, that of ``DEBYE_PYMOL``, or the one on PATH.

    Raises:
        ConfigError: there is none; the message tells how to install it.
    """
    wanted = str(path or os.environ.get(VARIABLE) or PROGRAM)
    found = shutil.which(wanted)
    if found is None:
        raise ConfigError(
            wanted,
            "PyMOL is not there or cannot be run; structures are drawn with it",
            "Install it (Debian and Ubuntu: apt-get install pymol; conda install -c conda-forge "
            f"pymol-open-source; Homebrew: brew install pymol), or give its path by --pymol or {VARIABLE}",
        )
    return str(Path(found).absolute())


def run_pymol(
    script: str,
    folder: Path,
    images: Sequence[str],
    *,
    source: str,
    program: str | Path | None = None,
    timeout: float = 600.0,
) -> list[NDArray[np.uint8]]:
    """Run a script in a folder and return its images, each (height, width, 3).

    Args:
        script: PyMOL commands; file names in them are relative to the folder.
        folder: Where the script is written and runs.
        images: PNG files that the script writes there.
        source: What is drawn, for error messages.
        program: PyMOL; None: see :func:`find_pymol`.
        timeout: Seconds; PyMOL is stopped after them.

    Raises:
        ConfigError: no PyMOL.
        RenderError: it failed, took too long or left out an image; the message repeats its output.
    """
    (folder / "scene.pml").write_text(script, encoding="utf-8")
    # c: no window, k: no settings of the user's, q: no banner.
    command = [find_pymol(program), "-ckq", "scene.pml"]
    log = folder / "pymol.log"
    with open(log, "wb") as said:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(command[0]),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            with _ended_by_sigterm():
                code = process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            remedy = "Allow more time (--timeout) or draw smaller panels (--size)"
            problem = f"PyMOL had not finished after {timeout:g} s{_said(log)}"
            raise RenderError(source, problem, remedy) from error
        finally:
            _stop(process)
    missing = [name for name in images if not (folder / name).is_file()]
    if code or missing:
        what = f"ended with code {code}" if code else f"made no image {', '.join(missing)}"
        remedy = "Check the installation (pymol -c), and that it is version 2.0 or later"
        raise RenderError(source, f"PyMOL {what}{_said(log)}", remedy)
    return [_read_image(folder / name, source) for name in images]


def _environment(program: str) -> dict[str, str]:
    """Return an environment in which PyMOL's launcher finds the Python that PyMOL is installed for.

    Debian's launcher takes the first ``python3`` on PATH, which may be that of a virtual environment; the
    right one is in the folder of the launcher.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    kept["PATH"] = os.pathsep.join([str(Path(program).parent), kept.get("PATH", os.defpath)])
    return kept


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop PyMOL and its child processes: its launcher may be a shell script."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Raise SystemExit on SIGTERM, so that the caller can stop PyMOL, which has a session of its own.

    A handler that is already set stays, and so does the default one outside the main thread, where none can
    be set.
    """
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if not is_ours:
        yield
        return

    def leave(number: int, _frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _said(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f": {' / '.join(lines[-LOG_LINES:])}" if lines else ", without a message"


def _read_image(path: Path, source: str) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        problem = f"PyMOL wrote an image that cannot be read, {path.name} ({error})"
        raise RenderError(source, problem, "Check the free disk space") from error
