"""Images by reference: what is decoded, and what can be told of a broken one without decoding it."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
from PIL import Image

from spark_lab.errors import UserError
from spark_lab.records import Question
from spark_lab.tasks.pictures import ImageBytes, ImageFile
from spark_lab.tasks.task import Task


def drawn(colour: str = "red", size: tuple[int, int] = (60, 40)) -> Image.Image:
    image = Image.new("RGB", size, colour)
    image.putpixel((3, 2), (1, 2, 3))
    return image


def encoded(image: Image.Image, kind: str = "PNG", **settings: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_a_file_and_its_bytes_are_the_same_image(tmp_path: Path, kind: str) -> None:
    data = encoded(drawn(), kind)
    path = tmp_path / "image"
    path.write_bytes(data)
    file, row = ImageFile(str(path)), ImageBytes(data)
    assert file.fault() is None and row.fault() is None
    assert file.load().tobytes() == row.load().tobytes()
    assert (file.load().mode, file.load().size) == ("RGB", (60, 40))
    assert file.fingerprint == row.fingerprint


def test_what_is_seen_is_upright_and_on_white() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert ImageBytes(encoded(drawn(), "JPEG", exif=exif)).load().size == (40, 60)
    nothing = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    nothing.putpixel((1, 1), (0, 0, 0, 255))
    seen = ImageBytes(encoded(nothing)).load()
    assert seen.getpixel((0, 0)) == (255, 255, 255) and seen.getpixel((1, 1)) == (0, 0, 0)
    palette = ImageBytes(encoded(drawn().convert("P"))).load()
    assert palette.mode == "RGB"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
def test_a_cut_off_image_is_known_without_decoding_it(kind: str, monkeypatch) -> None:
    noise = Image.effect_noise((90, 90), 60).convert("RGB")
    whole = encoded(noise, kind)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    assert ImageBytes(whole).fault() is None
    assert "cut off" in ImageBytes(whole[: len(whole) // 2]).fault()


@pytest.mark.parametrize("data", [b"", b"PNG", b"<svg></svg>", b"%!PS-Adobe-3.0 EPSF-3.0\n" * 9])
def test_what_is_no_image_of_a_known_kind_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(data)
    for picture in (ImageFile(str(path)), ImageBytes(data)):
        assert "no image of a known kind" in picture.fault()
        with pytest.raises(UserError, match="can be decoded"):
            picture.load()


def test_a_missing_file_and_a_bomb_are_refused(tmp_path: Path, monkeypatch) -> None:
    assert "No such file" in ImageFile(str(tmp_path / "none.png")).fault()
    assert ImageFile("a\0b").fault() is not None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert "exceeds limit" in ImageBytes(encoded(drawn())).fault()


def test_pictures_are_values(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(encoded(drawn()))
    for picture in (ImageFile(str(path)), ImageBytes(encoded(drawn()))):
        again = pickle.loads(pickle.dumps(picture))
        assert again == picture and hash(again) == hash(picture)
    other = ImageBytes(encoded(drawn("blue")))
    assert other != ImageBytes(encoded(drawn()))
    assert other.fingerprint != ImageBytes(encoded(drawn())).fingerprint


def test_a_tasks_fingerprint_knows_its_images() -> None:
    red, blue = (ImageBytes(encoded(drawn(colour))) for colour in ("red", "blue"))

    def task(*images: ImageBytes) -> str:
        return Task([Question(0, "What is it?", "red", images)], [], "exact").fingerprint()

    assert len({task(), task(red), task(blue), task(red, blue), task(blue, red)}) == 5
