"""Sums as small pictures, the same on every machine.

A picture is one row of glyphs, 10 dots high and 10 dots wide for each character. Where a glyph
stands, how dark ink and paper are and the grain of the paper are drawn from a seed, so that reading
a digit takes more than knowing its place and its dots.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

# What is asked about a drawn sum, in words without digits.
QUESTION = "the sum in the image"

# Side of a character's square of dots, and the size of the glyph in it.
CELL = 10
GLYPH_WIDTH, GLYPH_HEIGHT = 5, 7
# How far to the right all glyphs of a picture may stand together, and each beyond that.
MARGIN, STRAY = 2, 2
# Grey of the darkest and the palest ink and paper: 0 is black, 255 white.
INK, PAPER = (0, 90), (165, 255)

CHARACTERS = "0123456789+"
_DOTS = """
.###. ..#.. .###. ##### ...#. ##### ..##. ##### .###. .###. .....
#...# .##.. #...# ...#. ..##. #.... .#... ....# #...# #...# ..#..
#..## ..#.. ....# ..#.. .#.#. ####. #.... ...#. #...# #...# ..#..
#.#.# ..#.. ...#. ...#. #..#. ....# ####. ..#.. .###. .#### #####
##..# ..#.. ..#.. ....# ##### ....# #...# .#... #...# ....# ..#..
#...# ..#.. .#... #...# ...#. #...# #...# .#... #...# ...#. ..#..
.###. .###. ##### .###. ...#. .###. .###. .#... .###. .##.. .....
"""


def _glyphs() -> dict[str, np.ndarray]:
    rows = [[list(dots) for dots in line.split()] for line in _DOTS.split("\n") if line]
    return {
        character: np.array([row[place] for row in rows]) == "#"
        for place, character in enumerate(CHARACTERS)
    }


# True where there is ink, (GLYPH_HEIGHT, GLYPH_WIDTH) each.
GLYPHS = _glyphs()


def draw(text: str, *, seed: str, grain: float, dot: int = 1) -> np.ndarray:
    """Grey levels, uint8 of shape (10 dots, 10 dots for each character); a dot is `dot` pixels wide.

    `text` is of CHARACTERS alone. The same arguments give the same bytes. `grain`, 0 to 1, is the
    largest amount by which a dot strays from its grey, as a share of the distance of black and
    white.
    """
    rng = random.Random(f"{seed} {text}")
    height, width = CELL, CELL * len(text)
    inked = np.zeros((height, width), dtype=bool)
    left = rng.randint(0, MARGIN)
    for place, character in enumerate(text):
        x = left + CELL * place + rng.randint(0, STRAY)
        y = rng.randint(0, height - GLYPH_HEIGHT)
        inked[y : y + GLYPH_HEIGHT, x : x + GLYPH_WIDTH] |= GLYPHS[character]
    grey = np.where(inked, rng.randint(*INK), rng.randint(*PAPER))
    # Bytes of Python's own generator, whose stream is fixed for all versions.
    noise = np.frombuffer(rng.randbytes(height * width), dtype=np.uint8).reshape(height, width)
    strayed = grey + (noise / 127.5 - 1.0) * (grain * 255)
    dots = strayed.round().clip(0, 255).astype(np.uint8)
    return dots.repeat(dot, axis=0).repeat(dot, axis=1)


@dataclass(frozen=True, slots=True)
class DrawnSum:
    """The picture of a sum such as "7+1+5+9", by reference: drawn anew whenever it is opened."""

    text: str
    seed: str
    grain: float
    dot: int = 1

    def load(self) -> Image.Image:
        """The picture in RGB."""
        from PIL import Image

        return Image.fromarray(self._pixels()).convert("RGB")

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that change with any pixel."""
        return hashlib.sha256(self._pixels().tobytes()).hexdigest()[:12]

    def _pixels(self) -> np.ndarray:
        return draw(self.text, seed=self.seed, grain=self.grain, dot=self.dot)
