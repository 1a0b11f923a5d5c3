"""The images of a row: paths, bytes, or both as Parquet files have them, alone or in a list.

A path is taken from where the data lies, or from the folder that is named for it. Where an image
stands in the text, a placeholder such as <image> says so; the images come before the text, which
then calls them by their number.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import itertools
import json
import re
from pathlib import Path
from typing import Any

from spark_lab.records import Picture
from spark_lab.tasks.fields import Bad, filled
from spark_lab.tasks.pictures import ImageBytes, ImageFile

# Where data sets put pictures; a row that has one there is not a question of text alone.
USUAL = ("image", "images", "image_path")
# In chat messages, the parts that are pictures and the keys under which they hold them.
PARTS = {"image": ("image", "path", "url", "bytes"), "image_url": ("image_url",)}
_PLACEHOLDER = re.compile(r"<image(?:[ _]?\d+)?>", re.IGNORECASE)
# Those at the start of a text only say that there are images.
_BEFORE = re.compile(rf"(?:\s*{_PLACEHOLDER.pattern})*", re.IGNORECASE)
_ENCODED = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
_KINDS = "a path, bytes, or a list of them"


def pictures_of(found: Any, folder: Path | None, field: str) -> tuple[Picture, ...]:
    """The images that a field holds, each looked at. Raises Bad for the first that can't be used.

    `folder` is where relative paths start; None where the data lies on no disk of this machine.
    """
    listed = _listed(found)
    names = [f"{field}[{place}]" for place in range(len(listed))] if len(listed) > 1 else [field]
    return tuple(_picture(one, folder, name) for one, name in zip(listed, names, strict=False))


def in_messages(parts: list[dict[str, Any]]) -> list[Any]:
    """What the parts of a chat message that are images hold, as far as they hold anything: a bare
    one says where an image of another field stands."""
    found = []
    for part in parts:
        held = [part[key] for key in PARTS.get(part["type"], ()) if filled(part.get(key))]
        if held and part["type"] == "image_url" and isinstance(held[0], dict):
            held = [held[0]["url"]]
        found += held[:1]
    return found


def without_placeholders(text: str, images: int) -> str:
    """The text for a prompt that begins with all its images. Raises Bad where it has places for more.

    Of one image the place says nothing; of several it says which one is meant there.
    """
    places = _PLACEHOLDER.findall(text)
    if len(places) > images:
        got = f"{len(places)} places for images in the text, and {images} images"
        raise Bad("images_field=FIELD", got, "an image for every place")
    before = _BEFORE.match(text)
    assert before is not None, "it may be empty"
    rest = text[before.end() :]
    if images == 1:
        return _PLACEHOLDER.sub("", rest).strip()
    numbers = itertools.count(len(_PLACEHOLDER.findall(before[0])) + 1)
    return _PLACEHOLDER.sub(lambda _: f"[image {next(numbers)}]", rest).strip()


def _listed(found: Any) -> list[Any]:
    """CSV files hold lists as JSON."""
    if isinstance(found, str) and found.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            found = json.loads(found)
    if not filled(found):
        return []
    return list(found) if isinstance(found, list | tuple) else [found]


def _picture(found: Any, folder: Path | None, field: str) -> Picture:
    if isinstance(found, dict):
        found = found["bytes"] if filled(found.get("bytes")) else found.get("path")
    if isinstance(found, str) and _ENCODED.match(found):
        found = _decoded(found, field)
    if isinstance(found, bytes):
        picture: ImageBytes | ImageFile = ImageBytes(found)
        named = f"{len(found)} bytes"
    elif isinstance(found, str) and found.strip():
        picture = ImageFile(_path(found, folder, field))
        named = picture.path
    else:
        raise Bad("images_field=FIELD", f"{field}={found!r}", _KINDS)
    fault = picture.fault()
    if fault is not None:
        key = "images_root=FOLDER" if isinstance(picture, ImageFile) else ""
        raise Bad(key, f"{field}: {named}: {fault}", "an image that can be opened")
    return picture


def _decoded(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise Bad("", f"{field}={text[:40]!r}", "an image in base64") from None


def _path(text: str, folder: Path | None, field: str) -> str:
    text = text.strip().removeprefix("file://")
    if "://" in text:
        raise Bad(
            "images_root=FOLDER", f"{field}={text!r}", "an image on this machine: download it"
        )
    path = Path(text).expanduser()
    if path.is_absolute():
        return str(path)
    if folder is None:
        got = f"{field}={text!r} of a data set of the hub, whose images are not on this machine"
        raise Bad("images_root=FOLDER", got, "the folder into which they were unpacked")
    return str(folder / path)
