"""Finding and running PyMOL, with a stand-in: every failure is reported."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from debye.errors import ConfigError
from debye.plots.pymol import RenderError, find_pymol, run_pymol

SCRIPT = "png a.png, width=60, height=48, ray=1\n"


@pytest.mark.slow
def test_images_come_back(fake_pymol, tmp_path):
    (image,) = run_pymol(SCRIPT, tmp_path, ["a.png"], source="1abc", program=fake_pymol.make())
    assert image.shape == (48, 60, 3)
    assert image[20, 20].tolist() == [200, 30, 30]


def test_without_pymol_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv("DEBYE_PYMOL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"apt-get install pymol.*--pymol or DEBYE_PYMOL"):
        find_pymol()
    with pytest.raises(ConfigError, match="nowhere/pymol: PyMOL is not there"):
        find_pymol("nowhere/pymol")


def test_option_goes_before_the_variable_and_that_before_path(monkeypatch, fake_pymol, tmp_path):
    fake = fake_pymol.make()
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(fake.parent))
    monkeypatch.delenv("DEBYE_PYMOL", raising=False)
    assert find_pymol() == str(fake)
    monkeypatch.setenv("DEBYE_PYMOL", str(other))
    assert find_pymol() == str(other)
    assert find_pymol(fake) == str(fake)


@pytest.mark.slow
def test_the_output_of_pymol_is_in_the_error(fake_pymol, tmp_path):
    program = fake_pymol.make("sys.stderr.write('no memory left'); sys.exit(3)")
    with pytest.raises(RenderError, match=r"^1abc: .*ended with code 3: no memory left\. Check"):
        run_pymol(SCRIPT, tmp_path, ["a.png"], source="1abc", program=program)


@pytest.mark.slow
def test_a_missing_image_is_an_error_although_pymol_ends_well(fake_pymol, tmp_path):
    with pytest.raises(RenderError, match=r"made no image b\.png, without a message"):
        run_pymol(SCRIPT, tmp_path, ["a.png", "b.png"], source="1abc", program=fake_pymol.make())


@pytest.mark.slow
def test_a_broken_image_is_an_error(fake_pymol, tmp_path):
    program = fake_pymol.make("Path('a.png').write_bytes(b'no image'); sys.exit(0)")
    with pytest.raises(RenderError, match=r"an image that cannot be read, a\.png"):
        run_pymol(SCRIPT, tmp_path, ["a.png"], source="1abc", program=program)


@pytest.mark.slow
def test_it_is_stopped_after_its_time_with_what_it_started(fake_pymol, tmp_path):
    # Its child would leave a file after two seconds, were it not stopped too.
    program = fake_pymol.make(
        "import subprocess; subprocess.run(['sh', '-c', 'sleep 2; touch late'])"
    )
    with pytest.raises(RenderError, match=r"had not finished after 1 s.*--timeout"):
        run_pymol(SCRIPT, tmp_path, ["a.png"], source="1abc", program=program, timeout=1)
    time.sleep(1.6)
    assert not (tmp_path / "late").exists()


@pytest.mark.slow
def test_the_launcher_finds_the_python_beside_it(fake_pymol, tmp_path, monkeypatch):
    """Debian's launcher runs the first python3 on PATH: not one of a virtual environment."""
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    program = fake_pymol.make(
        "import os; print(os.environ['PATH'].split(':')[0], os.environ.get('PYTHONPATH'));"
        "sys.exit(1)"
    )
    with pytest.raises(RenderError, match=f"code 1: {program.parent} None"):
        run_pymol(SCRIPT, tmp_path, ["a.png"], source="1abc", program=program)


@pytest.mark.slow
def test_sigterm_ends_it_too_and_the_old_handler_is_back(fake_pymol, tmp_path):
    program = fake_pymol.make("import os; Path('pid').write_text(str(os.getpid())); time.sleep(60)")

    def terminate() -> None:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate, daemon=True).start()
    with pytest.raises(SystemExit) as left:
        run_pymol(SCRIPT, tmp_path, ["a.png"], source="1abc", program=program)
    assert left.value.code == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
