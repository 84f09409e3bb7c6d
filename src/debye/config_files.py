"""Settings in TOML files, checked by a pydantic model."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from debye.errors import ConfigError, explain_validation

Settings = TypeVar("Settings", bound=BaseModel)


def read_toml(
    path: Path, model: type[Settings], *, docs: str, overrides: Sequence[str] = ()
) -> Settings:
    """Read a TOML file as settings of a model; a ``ConfigError`` if it cannot be read or a setting is not valid.

    ``base = "other.toml"`` at the top of a file, a path relative to it, takes all settings of the other file that
    this one does not have.

    Args:
        model: Which settings there are; its ``extra="forbid"`` refuses unknown ones.
        docs: Page that explains the settings, for the error message.
        overrides: ``section.key=value``, applied in this order; see :func:`apply_override`.
    """
    content = _with_base(path)
    for override in overrides:
        apply_override(content, override)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problem = explain_validation(error)
        raise ConfigError(str(path), problem, f"See {docs} for the settings") from error


def _with_base(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the content of a file and of its bases; ``above`` are the files that led to it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise ConfigError(str(path), problem, "Give the path of a .toml file") from error
    except ValueError as error:  # TOMLDecodeError, or not UTF-8
        raise ConfigError(str(path), f"not TOML ({error})", "Correct the file") from error
    base = content.pop("base", None)
    if base is None:
        return content
    files = (*above, path.resolve())
    if not isinstance(base, str) or (path.parent / base).resolve() in files:
        problem = f"base = {base!r} is not a path, or leads back to this file"
        raise ConfigError(str(path), problem, "Give the path of another .toml file")
    return _merged(content, _with_base(path.parent / base, files))


def _merged(own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """Return nested settings, those of ``own`` first."""
    merged = {**own, **{key: base[key] for key in base if key not in own}}
    for key in own.keys() & base.keys():
        if isinstance(own[key], dict) and isinstance(base[key], dict):
            merged[key] = _merged(own[key], base[key])
    return merged


def apply_override(content: dict[str, Any], override: str) -> None:
    """Write one ``section.key=value`` (else a ``ConfigError``); a value that is not TOML is taken as text.

    Example:
        >>> settings = {"training": {"seed": 1}}
        >>> apply_override(settings, "training.epochs=3")
        >>> settings
        {'training': {'seed': 1, 'epochs': 3}}
    """
    where, example = f"--set {override}", "Write for example --set training.epochs=3"
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(where, "not of the form section.key=value", example)
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    try:
        set_setting(content, key, value)
    except ValueError as error:
        raise ConfigError(where, str(error), example) from error


def set_setting(content: dict[str, Any], key: str, value: Any) -> None:
    """Write a dotted setting into nested settings; a ``ValueError`` if a part of the key is not a section."""
    *parents, name = key.split(".")
    for parent in parents:
        content = content.setdefault(parent, {})
        if not isinstance(content, dict):
            raise ValueError(f"{parent} is a setting, not a section")
    content[name] = value
