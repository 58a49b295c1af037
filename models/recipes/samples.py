"""Pictures as files, one of each label, as a camera would send them: `classify` is to say what each is called.

The JPEG files beside them are kept as they were made once, since this needs no encoder of them.
"""

import struct
import zlib

import numpy as np

from recipes import bay

SEED, SIZE = 2_000_000, 64


def make():
    return {label: png(bay.draw(label, SEED, SIZE)) for label in bay.LABELS}


def png(picture):
    shades = np.round(picture * 255).astype(np.uint8)
    height, width, _ = shades.shape
    rows = b"".join(b"\0" + row.tobytes() for row in shades)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def pixels(file):
    """What a picture of `png` holds."""
    start = file.index(b"IDAT")
    return zlib.decompress(file[start + 4 : start + 4 + struct.unpack(">I", file[start - 4 : start])[0]])
