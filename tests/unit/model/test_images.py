"""Images in an output: nothing of them is lost in the file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from truss_async.model.file_parts import file_part

if TYPE_CHECKING:
    from collections.abc import Sequence


def as_file(image: Any) -> tuple[Any, str]:
    """What another program sees in the file that the image becomes, and the content type."""
    part = file_part(image)
    assert part is not None
    assert isinstance(part.body, bytes)
    return Image.open(io.BytesIO(part.body)), part.content_type


def reopened(frames: Sequence[Any], file_format: str, **options: Any) -> Any:
    buffer = io.BytesIO()
    frames[0].save(buffer, format=file_format, save_all=len(frames) > 1, append_images=frames[1:], **options)
    return Image.open(io.BytesIO(buffer.getvalue()))


def noise(mode: str) -> Any:
    bands = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, bands), dtype="u1")
    return Image.frombytes(mode, (7, 5), pixels.tobytes())


@pytest.mark.parametrize(
    ("mode", "content_type"),
    [
        ("L", "image/png"),
        ("LA", "image/png"),
        ("RGB", "image/png"),
        ("RGBA", "image/png"),
        ("CMYK", "image/tiff"),
        ("LAB", "image/tiff"),
    ],
)
def test_every_pixel_is_kept(mode: str, content_type: str) -> None:
    image = noise(mode)
    seen, told = as_file(image)
    assert (told, seen.mode, seen.tobytes()) == (content_type, mode, image.tobytes())


@pytest.mark.parametrize(
    ("mode", "value"), [("F", 0.25), ("I", 100_000), ("I;16", 40_000), ("I;16B", 40_000), ("1", 255)]
)
def test_deep_and_shallow_pixels_are_kept(mode: str, value: float) -> None:
    seen, _ = as_file(Image.new(mode, (2, 2), value))
    assert seen.getpixel((0, 0)) == value


def test_what_can_be_seen_through_stays_so() -> None:
    palette = Image.new("P", (1, 1), 3)
    palette.putpalette([0, 0, 0] * 3 + [9, 8, 7])
    palette.info["transparency"] = 3
    with_alpha = palette.convert("RGBA")
    assert with_alpha.getpixel((0, 0)) == (9, 8, 7, 0)
    for image in (palette, with_alpha, palette.convert("RGBA").convert("P").convert("PA")):
        seen, _ = as_file(image)
        assert seen.convert("RGBA") == image.convert("RGBA")
    half = Image.new("RGBA", (1, 1), (200, 100, 50, 128))
    seen, _ = as_file(half.convert("RGBa"))
    assert seen.getpixel((0, 0))[3] == 128
    seen, _ = as_file(Image.merge("LA", [Image.new("L", (1, 1), 9), Image.new("L", (1, 1), 7)]).convert("La"))
    assert (seen.mode, seen.getpixel((0, 0))[1]) == ("LA", 7)


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP"])
def test_an_animation_keeps_its_frames_and_their_times(file_format: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    animation = reopened(frames, file_format, duration=[100, 200, 300], loop=0, **options)
    animation.seek(0 if file_format == "PNG" else 1)
    position = animation.tell()
    seen, content_type = as_file(animation)
    assert (content_type, seen.n_frames, seen.info["loop"]) == ("image/png", 3, 0)
    shown = [
        (each.convert("RGB").getpixel((1, 1)), each.info["duration"]) for each in ImageSequence.Iterator(seen)
    ]
    assert shown == [((255, 0, 0), 100), ((0, 255, 0), 200), ((0, 0, 255), 300)]
    assert animation.tell() == position


def test_a_tiff_keeps_its_pages_and_their_kinds() -> None:
    pages = [Image.new("1", (4, 4), 1), noise("CMYK"), noise("RGB")]
    seen, content_type = as_file(reopened(pages, "TIFF"))
    assert (content_type, seen.n_frames) == ("image/tiff", 3)
    for number, page in enumerate(pages):
        seen.seek(number)
        assert (seen.mode, seen.size, seen.tobytes()) == (page.mode, page.size, page.tobytes())


@pytest.mark.parametrize("position", [0, 1])
def test_what_was_drawn_on_a_frame_is_kept(position: int) -> None:
    animation = reopened([Image.new("RGB", (4, 4), each) for each in ("red", "blue")], "GIF")
    animation.seek(position)
    animation.paste(animation.convert("RGB").resize((4, 4)).point(lambda _: 77).convert(animation.mode))
    drawn = animation.convert("RGB").getpixel((0, 0))
    seen, _ = as_file(animation)
    seen.seek(position)
    assert seen.n_frames == 2
    assert seen.convert("RGB").getpixel((0, 0)) == drawn


def test_an_image_is_stored_upright() -> None:
    image = Image.new("RGB", (2, 1), "red")
    image.putpixel((1, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = reopened([image], "PNG", exif=exif)
    seen, _ = as_file(photo)
    assert (seen.size, seen.getpixel((0, 0)), seen.getpixel((0, 1))) == ((1, 2), (255, 0, 0), (0, 0, 255))
    assert seen.getexif().get(0x0112, 1) == 1
    assert photo.size == (2, 1)


def test_a_colour_profile_is_kept() -> None:
    profile = b"profile" * 20
    for mode in ("RGB", "CMYK"):
        image = noise(mode)
        image.info["icc_profile"] = profile
        seen, _ = as_file(image)
        assert seen.info["icc_profile"] == profile


@pytest.mark.parametrize("mode", ["HSV", "YCbCr"])
def test_what_no_file_holds_is_stored_in_its_colours(mode: str) -> None:
    image = noise("RGB").convert(mode)
    seen, content_type = as_file(image)
    assert (content_type, seen.mode, seen.tobytes()) == ("image/png", "RGB", image.convert("RGB").tobytes())
