#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes pictures/ (small files of rare kinds) and golden_images.txt: what Pillow makes of them,
of the picture files in shared/data, and of a resize.

    cd tests/data && python3 golden_images.py SHARED

A line is `pixels FILE ROWS COLUMNS CHANNELS CRC` or `resize FILE MODE ROWS COLUMNS CHANNELS CRC`.
The conversions are the project's definition of a pixel (src/spec/preprocessing.h): orientation,
alpha over white, grey stays grey, 16 bits by the high byte; crop and pad as in src/data/resize.h.
"""
import io
import os
import struct
import sys
import warnings
import zlib

from PIL import Image, ImageOps, __version__

Image.MAX_IMAGE_PIXELS = 64 << 20
warnings.simplefilter("ignore")


def bmp(width, height, bits, rows, compression=0, palette=b"", masks=b"", header=40):
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(rows), 0, 0,
                           len(palette) // 4, 0)
    head = info + masks + palette
    return struct.pack("<2sIHHI", b"BM", 14 + len(head) + len(rows), 0, 0, 14 + len(head)) + head + rows


def rare_pictures():
    """Name and bytes of each file in pictures/."""
    noise = bytes((i * 73 + i * i * 19) % 251 for i in range(8 * 6 * 4))
    rgb = Image.frombytes("RGB", (8, 6), noise[:144])
    rgba = Image.frombytes("RGBA", (8, 6), noise)
    other = Image.new("RGB", (8, 6), (9, 200, 40))
    exif = Image.Exif()
    exif[0x0112] = 6

    def saved(picture, kind, **options):
        file = io.BytesIO()
        picture.save(file, kind, **options)
        return file.getvalue()

    yield "animated.gif", saved(rgb, "GIF", save_all=True, append_images=[other])
    yield "animated.webp", saved(rgb, "WEBP", save_all=True, append_images=[other], lossless=True)
    yield "alpha-lossless.webp", saved(rgba, "WEBP", lossless=True, exact=True)
    yield "alpha-lossy.webp", saved(rgba, "WEBP", quality=80)
    yield "orientation-6.png", saved(rgb, "PNG", exif=exif)
    yield "orientation-6.webp", saved(rgb, "WEBP", lossless=True, exif=exif)
    yield "grey.gif", saved(rgb.convert("L"), "GIF")
    yield "interlaced.gif", saved(Image.frombytes("P", (8, 20), noise[:160]), "GIF", interlace=1)
    yield "transparent.gif", saved(rgba, "GIF")
    yield "animated.png", saved(rgb, "PNG", save_all=True, append_images=[other])
    yield "alpha.bmp", saved(rgba, "BMP")
    yield "one-bit.bmp", saved(rgb.convert("1"), "BMP")
    yield "eight-bits.bmp", saved(rgb.quantize(17), "BMP")
    palette = b"".join(bytes((i * 16, 255 - i * 9, i * 3, 0)) for i in range(16))
    yield "four-bits.bmp", bmp(7, 5, 4, noise[:20], palette=palette)
    yield "top-down.bmp", bmp(5, -4, 24, noise[:64])
    yield "os2.bmp", bmp(5, 4, 24, noise[:64], header=12)
    yield "rgb555.bmp", bmp(5, 4, 16, noise[:48])
    yield "rgb565.bmp", bmp(5, 4, 16, noise[:48], 3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F))
    yield "thirty-two.bmp", bmp(5, 4, 32, noise[:80])
    runs = bytes([3, 7, 0, 4, 1, 2, 3, 4, 0, 0]) * 3 + bytes([7, 9, 0, 1])
    yield "rle8.bmp", bmp(7, 4, 8, runs, 1, palette=palette)
    runs = bytes([3, 0x71, 0, 4, 0x12, 0x34, 0, 0]) * 3 + bytes([7, 0x29, 0, 1])
    yield "rle4.bmp", bmp(7, 4, 4, runs, 2, palette=palette)


def is_grey_palette(picture):
    colours = picture.getpalette("RGB")
    return all(colours[i] == colours[i + 1] == colours[i + 2] for i in range(0, len(colours), 3))


def load(path):
    picture = Image.open(path)
    picture.load()
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ("I", "I;16", "I;16B"):
        if "transparency" in picture.info:
            return None  # Pillow compares after it has lost the low byte
        data = picture.convert("I").point(lambda v: v * (1 / 256)).convert("L")
        return data
    with open(path, "rb") as file:
        head = file.read(26)
    grey = head[1:4] == b"PNG" and head[25] == 4  # Pillow makes RGBA of 16 bits of grey and alpha
    grey = grey or picture.mode in ("1", "L", "LA") or (picture.mode == "P" and is_grey_palette(picture))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        colours = picture.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(colours, mask=colours.getchannel("A"))
        picture = white
    return picture.convert("L" if grey else "RGB")


def resize(picture, size):
    """Columns first, then rows. Pillow up to 12 does that in one call; 13 may swap the passes."""
    return picture.resize((size[0], picture.height), Image.BILINEAR).resize(size, Image.BILINEAR)


def fit(picture, mode, height, width):
    w, h = picture.size
    if mode == "stretch":
        return resize(picture, (width, height))
    wide = w * height >= h * width
    if wide == (mode == "crop"):
        size = (max(1, (w * height + h // 2) // h), height)
    else:
        size = (width, max(1, (h * width + w // 2) // w))
    picture = resize(picture, size)
    if mode == "crop":
        x, y = (size[0] - width) // 2, (size[1] - height) // 2
        return picture.crop((x, y, x + width, y + height))
    canvas = Image.new(picture.mode, (width, height))
    canvas.paste(picture, ((width - size[0]) // 2, (height - size[1]) // 2))
    return canvas


RESIZED = ["pillow_hopper.png", "pillow_flower.jpg", "pillow_bw_gradient.png", "pngsuite_s39i3p04.png",
           "pngsuite_cdfn2c08.png", "jpegdec_jpg-size-1x1.jpg", "pillow_copyleft.png"]
SIZES = [(32, 32), (64, 48), (17, 91), (1, 1), (300, 224), (128, 128)]


def print_pixels(path, name):
    try:
        picture = load(path)
    except Exception:
        return
    if picture:
        print("pixels", name, picture.height, picture.width, len(picture.getbands()),
              f"{zlib.crc32(picture.tobytes()):08x}")


def main():
    shared = os.path.join(sys.argv[1], "data")
    os.makedirs("pictures", exist_ok=True)
    sys.stdout = open("golden_images.txt", "w", encoding="ascii")
    print(f"# Pillow {__version__}")
    for name, data in rare_pictures():
        with open(os.path.join("pictures", name), "wb") as file:
            file.write(data)
        print_pixels(os.path.join("pictures", name), f"pictures/{name}")
    for folder in ("odd-but-valid-images", "malformed-images"):
        for name in sorted(os.listdir(os.path.join(shared, folder))):
            if not name.endswith((".csv", ".ppm", ".tif", ".tiff", ".ico", ".tga")):
                print_pixels(os.path.join(shared, folder, name), f"{folder}/{name}")
    for name in RESIZED:
        picture = load(os.path.join(shared, "odd-but-valid-images", name))
        for mode in ("stretch", "crop", "pad"):
            for height, width in SIZES:
                for band in ("L", "RGB"):
                    out = fit(picture.convert(band), mode, height, width)
                    print("resize", f"odd-but-valid-images/{name}", mode, height, width,
                          1 if band == "L" else 3, f"{zlib.crc32(out.tobytes()):08x}")


main()
