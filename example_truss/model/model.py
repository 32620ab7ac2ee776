"""Reads scanned pages: each line of text, how sure the reader is of it, and where on the page it stands."""

import io
from typing import Any

import smart_open
from fastapi import HTTPException
from PIL import Image, ImageDraw, UnidentifiedImageError
from rapidocr import RapidOCR

from truss_async import AsyncOutputModel


class Model(AsyncOutputModel):
    """``{"page": URL}`` in; the lines, and the page with a box round each of them, out and into the output store."""

    def load(self) -> None:
        self.reader = RapidOCR(params={"Global.log_level": "warning"})

    def predict(self, model_input: dict[str, Any]) -> dict[str, Any]:
        page = open_page(model_input)
        found = self.reader(page)
        lines = []
        if found.boxes is not None:  # None: nothing to read on this page
            for text, confidence, box in zip(found.txts, found.scores, found.boxes, strict=True):
                corners = [[round(float(x)), round(float(y))] for x, y in box]
                lines.append({"text": text, "confidence": round(float(confidence), 4), "box": corners})
        return {"page": model_input["page"], "lines": lines, "annotated": draw_boxes(page, lines)}


def open_page(model_input: Any) -> Image.Image:
    """Open the image at any URL that smart_open knows; a bad one is the caller's error: 422, which is not retried."""
    url = model_input.get("page") if isinstance(model_input, dict) else None
    if not isinstance(url, str):
        raise HTTPException(422, 'the model input must be {"page": "<URL of an image>"}')
    try:
        with smart_open.open(url, "rb") as file:
            body = file.read()
        return Image.open(io.BytesIO(body)).convert("RGB")
    except UnidentifiedImageError:
        raise HTTPException(422, f"{url} is not an image") from None
    except (OSError, ValueError, NotImplementedError, ImportError, Image.DecompressionBombError) as error:
        raise HTTPException(422, f"cannot read {url}: {error}") from error


def draw_boxes(page: Image.Image, lines: list[dict[str, Any]]) -> Image.Image:
    annotated = page.copy()
    pen = ImageDraw.Draw(annotated)
    for line in lines:
        pen.polygon([(x, y) for x, y in line["box"]], outline=(220, 30, 30), width=3)
    return annotated
