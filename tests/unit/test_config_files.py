"""Settings from TOML files: overrides, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from debye.config_files import read_toml
from debye.errors import ConfigError


class Part(BaseModel, extra="forbid"):
    epochs: int = 1
    name: str = ""


class Whole(BaseModel, extra="forbid"):
    part: Part = Part()


def read(folder, text, *overrides):
    path = folder / "x.toml"
    path.write_text(text)
    return read_toml(path, Whole, docs="docs/x.md", overrides=overrides).part


def test_overrides_are_toml_or_text_and_the_last_one_counts(tmp_path):
    found = read(tmp_path, "[part]\nepochs = 2", "part.epochs=3", "part.name=a b", "part.epochs=4")
    assert (found.epochs, found.name) == (4, "a b")


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("[part]\nepoch = 2", (), r"part\.epoch: .* \(got 2\)\. See docs/x\.md for the settings"),
        ("part = ", (), "not TOML"),
        ("", ("epochs",), "not of the form section.key=value"),
        ("[part]\nepochs = 2", ("part.epochs.x=1",), "epochs is a setting, not a section"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, overrides, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text, *overrides)


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read \(No such file"):
        read_toml(tmp_path / "absent.toml", Whole, docs="docs/x.md")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not TOML"):
        read_toml(tmp_path / "x.toml", Whole, docs="docs/x.md")
