"""A stand-in for PyMOL: it draws a plain image for each one that its script asks for."""

from __future__ import annotations

import sys
from pathlib import Path

FAKE = """#!{python}
import re, shutil, sys, time
from pathlib import Path
script = Path(sys.argv[-1]).read_text()
log = Path({log!r})
log.mkdir(exist_ok=True)
number = len(list(log.glob("*.pml")))
(log / f"{{number}}.pml").write_text(script)
for path in Path.cwd().glob("*.cif"):
    shutil.copy(path, log / f"{{number}}_{{path.name}}")
(log / f"{{number}}.where").write_text(str(Path.cwd()))
text = " ".join(path.read_text() for path in Path.cwd().glob("*.cif"))
{extra}
from PIL import Image
for name, width, height in re.findall(r"^png (\\S+), width=(\\d+), height=(\\d+)", script, re.M):
    image = Image.new("RGB", (int(width), int(height)), "white")
    image.paste((200, 30, 30), (10, 15, 40, 35))
    image.save(name)
"""


class FakePymol:
    """Makes the stand-in; what it was given is kept in :attr:`log`."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.path = folder / "pymol"

    def make(self, extra: str = "") -> Path:
        """Write the program, which also runs some lines of Python before it draws."""
        self.path.write_text(
            FAKE.format(python=sys.executable, log=str(self.log), extra=extra), encoding="utf-8"
        )
        self.path.chmod(0o755)
        return self.path
