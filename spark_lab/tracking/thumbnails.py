"""Small copies of the images that rollouts are about, kept beside them to be looked at.

<rollouts>/images/<fingerprint>.png or .jpg. Rows name them, and hold no image themselves.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from spark_lab.records import Picture

FOLDER = "images"
# Pixels of the longer side; what is larger is scaled down, and then kept as a JPEG.
_SIDE = 320


def keep(folder: Path, pictures: Sequence[Picture]) -> list[str]:
    """Where in `folder` the copy of each is; it is made where there is none yet."""
    return [_keep(folder, picture) for picture in pictures]


def _keep(folder: Path, picture: Picture) -> str:
    names = [f"{FOLDER}/{picture.fingerprint}.{ending}" for ending in ("png", "jpg")]
    for name in names:
        if (folder / name).exists():
            return name
    image = picture.load()
    small = max(image.size) <= _SIDE
    if not small:
        image.thumbnail((_SIDE, _SIDE))
    target = folder / names[0 if small else 1]
    target.parent.mkdir(exist_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    image.save(part, "PNG" if small else "JPEG")
    os.replace(part, target)
    return names[0 if small else 1]
