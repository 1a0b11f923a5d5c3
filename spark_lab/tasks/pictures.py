"""Images of data sets, by reference: a file, or the bytes that a row holds.

What can be told without decoding pixels is told before a run: whether there is an image, of a known
kind, whole to its last byte.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

from spark_lab.errors import Problem, UserError

if TYPE_CHECKING:
    from PIL import Image

KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
# What a whole file has among its last bytes, and how many these are: some writers add a few.
_ENDS = {"PNG": (b"IEND", 1024), "JPEG": (b"\xff\xd9", 1024), "GIF": (b"\x3b", 2)}
# Of a large file only so many bytes at either end are read for its fingerprint.
_SAMPLED = 8192


@dataclass(frozen=True)
class ImageFile:
    """An image in a file of its own."""

    path: str

    def load(self) -> Image.Image:
        with _named(self.path):
            return _rgb(self.path)

    @cached_property
    def fingerprint(self) -> str:
        with open(self.path, "rb") as stream:
            return _digest(stream)

    def fault(self) -> str | None:
        """What is wrong with it; None where it looks whole."""
        try:
            with open(self.path, "rb") as stream:
                return _fault(stream)
        except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
            return getattr(error, "strerror", None) or str(error)


@dataclass(frozen=True)
class ImageBytes:
    """An image that a row of a data set holds itself, encoded."""

    data: bytes = field(repr=False)

    def load(self) -> Image.Image:
        with _named(f"an image of {len(self.data)} bytes"):
            return _rgb(io.BytesIO(self.data))

    @cached_property
    def fingerprint(self) -> str:
        return _digest(io.BytesIO(self.data))

    def fault(self) -> str | None:
        """What is wrong with it; None where it looks whole."""
        return _fault(io.BytesIO(self.data))


def _fault(stream: BinaryIO) -> str | None:
    from PIL import Image

    try:
        with Image.open(stream, formats=KINDS) as image:
            kind = image.format
    except (*_broken(),) as error:
        line = str(error).partition(",")[0]
        known = isinstance(error, Image.DecompressionBombError)
        return line if known else f"no image of a known kind ({', '.join(KINDS)})"
    end, tail = _ENDS.get(kind, (b"", 0))
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - tail))
    return None if end in stream.read() else f"a {kind} that is cut off"


def _rgb(source: str | BinaryIO) -> Image.Image:
    """Decoded, upright, on white where it is transparent: drawings are often black on nothing."""
    from PIL import Image, ImageOps

    with Image.open(source, formats=KINDS) as opened:
        image = ImageOps.exif_transpose(opened)
        if not image.has_transparency_data:
            return image.convert("RGB")
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except (*_broken(),) as error:
        got = str(error).partition("\n")[0][:120]
        fix = "put the file back as it was, or leave its row out"
        raise UserError(Problem(name, got, "an image that can be decoded", fix)) from error


def _broken() -> tuple[type[Exception], ...]:
    """What PIL raises for data that is no image, or a broken one."""
    from PIL import Image

    return (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def _digest(stream: BinaryIO) -> str:
    """12 hex digits of the size and of both ends: compressed pixels differ there if anywhere."""
    size = stream.seek(0, io.SEEK_END)
    digest = hashlib.sha256(str(size).encode())
    for start in (0, max(0, size - _SAMPLED)):
        stream.seek(start)
        digest.update(stream.read(_SAMPLED))
    return digest.hexdigest()[:12]
