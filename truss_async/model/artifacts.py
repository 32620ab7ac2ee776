"""The files in an output: stored beside it, each under a name of its own, and replaced by references."""

from collections.abc import Callable
from typing import Any

from ..contract import ArtifactReference
from ..contract.content_types import extension_of
from ..stores import safe_artifact_name
from .file_parts import FilePart
from .places import Place


class ArtifactWriter:
    """Stores the artifacts of one output; each gets a name of its own."""

    def __init__(self, store: Callable[[str, FilePart], ArtifactReference]) -> None:
        self._store = store
        self._taken: set[str] = set()

    def reference(self, part: FilePart, place: Place) -> dict[str, Any]:
        """Store the file, which stands at that place of the output; return what is to stand there."""
        name = safe_artifact_name(_wanted_name(part, place), self._taken)
        reference = self._store(name, part)
        if part.name is not None and part.name != name:
            reference = reference.model_copy(update={"name": part.name})
        return reference.model_dump(exclude_none=True)


def _wanted_name(part: FilePart, place: Place) -> str:
    if part.name is not None:
        return part.name
    name, extension = "-".join(map(str, place)) or "output", extension_of(part.content_type)
    return name if name.endswith(extension) else name + extension
