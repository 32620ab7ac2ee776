"""A truss as it lies on disk, read only as far as packaging it needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

from .. import text_files
from ..errors import HarnessError
from ..python_code import parsed

if TYPE_CHECKING:
    import ast


@dataclass(frozen=True)
class TrussSource:
    """``text`` is config.yaml as it is, line ends and all; ``config`` what it says."""

    folder: Path
    text: str
    config: dict[str, Any]

    @property
    def config_path(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def packages_folder(self) -> Path:
        """Where the truss bundles packages; refused when truss would not ship what is put there."""
        name = self._text("bundled_packages_dir", "packages")
        path = self.folder / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or name in ("", "."):
            raise HarnessError(
                f"bundled_packages_dir in {self.config_path} must be a folder inside the truss, not {name!r}"
            )
        if path.is_symlink():
            raise HarnessError(f"{path} is a symbolic link, which truss does not ship; make it a folder")
        return path

    @property
    def python_version(self) -> str | None:
        """Such as ``3.11``; None when the config leaves it to the version of truss."""
        found = re.fullmatch(r"py(\d)(\d+)", str(self.config.get("python_version")))
        return f"{found[1]}.{found[2]}" if found else None

    @property
    def requirements_path(self) -> Path | None:
        """The dependency file that the config names instead of listing requirements."""
        name = self.config.get("requirements_file")
        return self.folder / str(name) if name else None

    @property
    def requirements(self) -> list[str]:
        """The requirements listed in the config."""
        listed = self.config.get("requirements") or []
        if not isinstance(listed, list):
            raise HarnessError(f"requirements in {self.config_path} must be a list")
        return [str(line) for line in listed]

    @property
    def model_path(self) -> Path:
        return (
            self.folder
            / self._text("model_module_dir", "model")
            / self._text("model_class_filename", "model.py")
        )

    def model_syntax(self) -> ast.Module | None:
        """The model's code, parsed; None when there is none or it is not Python."""
        try:
            return parsed(self.model_path.read_bytes())
        except (OSError, SyntaxError):
            return None

    def _text(self, key: str, default: str) -> str:
        return str(self.config.get(key) or default)


def read_truss(folder: Path) -> TrussSource:
    """Read a truss folder; raise HarnessError, in one line, when it is none."""
    path = folder / "config.yaml"
    if not path.is_file():
        missing = path if folder.is_dir() else folder
        raise HarnessError(f"{missing} does not exist; give the folder of a truss, with a config.yaml in it")
    text = read_text(path)
    source = TrussSource(folder, text, parse_config(text, path))
    if not source.model_path.is_file():
        raise HarnessError(
            f"there is no {source.model_path}: only what a Model class in Python returns can be saved; "
            "a server in Docker, an engine or a chain's file has none"
        )
    return source


def parse_config(text: str, path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise HarnessError(
            f"{path} is not valid YAML: {' '.join(str(error).split())}; fix it and try again"
        ) from None
    if config is None:
        return {}
    if not isinstance(config, dict):
        raise HarnessError(f"{path} must contain a mapping, not a {type(config).__name__}")
    return config


def read_text(path: Path) -> str:
    """The file's text, with its line ends as they are."""
    try:
        return text_files.read_text(path)
    except FileNotFoundError:
        raise HarnessError(f"there is no {path}") from None
    except UnicodeDecodeError:
        raise HarnessError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror}") from None
