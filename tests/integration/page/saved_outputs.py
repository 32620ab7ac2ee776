"""Outputs as models save them, with their artifacts."""

import io
import json
from pathlib import Path

from PIL import Image


def picture(size: tuple[int, int] = (3, 2), colour: str = "red") -> bytes:
    """A PNG."""
    made = io.BytesIO()
    Image.new("RGB", size, colour).save(made, "PNG")
    return made.getvalue()


def save_with_artifacts(folder: Path, request_id: str, files: dict[str, tuple[str, bytes]]) -> None:
    """The output of a request, with these artifacts, each with the type that it is said to have."""
    beside = folder / request_id
    beside.mkdir(parents=True)
    references = []
    for name, (content_type, body) in files.items():
        (beside / name).write_bytes(body)
        url = f"{beside.as_uri()}/{name}"
        references.append(
            {"type": "artifact", "url": url, "content_type": content_type, "size_bytes": len(body)}
        )
    result = {"request_id": request_id, "model_id": "local", "deployment_id": "local1", "errors": []}
    result |= {"type": "async_request_completed", "time": "2026-01-01T00:00:00Z"}
    (folder / f"{request_id}.json").write_text(json.dumps({**result, "data": {"pages": references}}))
