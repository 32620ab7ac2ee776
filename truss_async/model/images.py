"""An image of PIL as a file in which nothing of it is lost: all frames, all of each pixel, upright."""

import io
import sys
from typing import Any, Final

from .places import UnfitPartError

_PNG_MODES: Final = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_TIFF_MODES: Final = frozenset({"I", "F", "LAB", "CMYK", "I;16B"})  # a PNG does not hold these
_CONVERTED_MODES: Final = {
    "PA": "RGBA",
    "La": "LA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "HSV": "RGB",  # no format holds it
    "YCbCr": "RGB",  # not every reader of TIFF finds all of it
    "I;16L": "I;16",
    "I;16N": "I;16",
}
_PAGED: Final = frozenset({"TIFF", "MPO"})


def is_image(value: object) -> bool:
    """Whether it is an image of PIL, which whoever made one has imported."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def image_file(image: Any) -> tuple[bytes, str]:
    """The bytes of the file, and its content type."""
    frames = _frames(image)
    modes = {each.mode for each in frames}
    is_paged = len(frames) > 1 and image.format in _PAGED
    file_format = "TIFF" if is_paged or modes & _TIFF_MODES else "PNG"
    options: dict[str, Any] = {}
    if len(frames) > 1:
        options = {"save_all": True, "append_images": frames[1:]}
        if file_format == "PNG":
            options |= _timing(image, frames)
    buffer = io.BytesIO()
    frames[0].save(buffer, format=file_format, **options)
    return buffer.getvalue(), f"image/{file_format.lower()}"


def _frames(image: Any) -> list[Any]:
    """Each one upright and of a mode that a file can have. The image stands where it stood."""
    shown = image
    if hasattr(type(image), "n_frames"):
        shown = image.copy()  # before its frames are counted, for which some formats read them again
    if getattr(image, "n_frames", 1) == 1:
        return [_writable(shown)]
    position, shown = image.tell(), shown.copy()
    frames = []
    for number in range(image.n_frames):
        image.seek(number)
        frames.append(shown if number == position else image.copy())  # it may have been drawn on
    image.seek(position)
    written = [_writable(each) for each in frames]
    if len({each.mode for each in written}) > 1 and image.format not in _PAGED:
        written = [each.convert("RGBA") for each in written]
    return written


def _writable(image: Any) -> Any:
    from PIL import ImageOps  # it is there: somebody has made an image

    upright = ImageOps.exif_transpose(image)
    if upright.mode in _PNG_MODES or upright.mode in _TIFF_MODES:
        return upright
    mode = _CONVERTED_MODES.get(upright.mode)
    if mode is None:
        raise UnfitPartError(
            f"is an image of the mode {upright.mode}, which no file that is written here holds: convert() it"
        )
    return upright.convert(mode)


def _timing(image: Any, frames: list[Any]) -> dict[str, Any]:
    """How long each frame is shown, and how often all are: once, where a GIF does not say."""
    durations = [each.info.get("duration", 0) for each in frames]
    return {"duration": durations, "loop": image.info.get("loop", 1), "disposal": 0, "blend": 0}
