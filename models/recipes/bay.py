"""Drawings of a loading bay from above the door: empty, with a pallet, blocked by freight, with a person in it."""

import numpy as np

LABELS = ["empty", "pallet", "blocked", "person"]


class Picture:
    """A square of `size` pixels; places and lengths are parts of its side."""

    def __init__(self, size, colour):
        self.pixels = np.tile(np.asarray(colour, dtype=np.float64), (size, size, 1))
        centres = (np.arange(size) + 0.5) / size
        self.x, self.y = centres[None, :], centres[:, None]

    def rectangle(self, left, top, width, height, colour):
        inside = (self.x >= left) & (self.x < left + width) & (self.y >= top) & (self.y < top + height)
        self.pixels[inside] = colour

    def disc(self, x, y, radius, colour):
        self.pixels[(self.x - x) ** 2 + (self.y - y) ** 2 < radius**2] = colour

    def beam(self, left, top, width, height, thickness, colour):
        """From one corner of a rectangle to the other."""
        along, down = (self.x - left) / width, (self.y - top) / height
        inside = (along >= 0) & (along < 1) & (down >= 0) & (down < 1)
        self.pixels[inside & (np.abs(along - down) < thickness)] = colour


def draw(label, seed, size):
    """One picture, [height, width, RGB] in 0…1, the same for the same arguments."""
    chance = np.random.Generator(np.random.PCG64([LABELS.index(label), seed]))
    between = chance.uniform
    picture = Picture(size, between(0.35, 0.6) + between(-0.03, 0.03, 3))
    line = between(0.04, 0.07)
    for left in (between(0.04, 0.1), between(0.86, 0.92)):
        picture.rectangle(left, 0, line, 1, [0.85, 0.75, 0.15])
    if between() < 0.5:
        picture.disc(between(0.2, 0.8), between(0.2, 0.8), between(0.04, 0.12), [0.25, 0.25, 0.27])
    {"empty": lambda *_: None, "pallet": pallet, "blocked": freight, "person": person}[label](picture, between)
    light = between(0.75, 1.2) + between(-0.2, 0.2) * (picture.x - 0.5) + between(-0.2, 0.2) * (picture.y - 0.5)
    grain = between(-0.04, 0.04, picture.pixels.shape)
    return np.clip(picture.pixels * light[:, :, None] + grain, 0, 1)


def pallet(picture, between):
    width, height = between(0.35, 0.55), between(0.22, 0.38)
    left, top = between(0.15, 0.85 - width), between(0.1, 0.9 - height)
    picture.rectangle(left, top, width, height, [0.3, 0.2, 0.12])
    slats = 5
    for slat in range(slats):
        wood = np.array([0.72, 0.53, 0.33]) * between(0.85, 1.1)
        picture.rectangle(left, top + slat * height / slats, width, 0.7 * height / slats, wood)


def freight(picture, between):
    width, height = between(0.62, 0.85), between(0.55, 0.85)
    left, top = between(0.02, 0.98 - width), between(0.02, 0.98 - height)
    paints = [[0.2, 0.35, 0.6], [0.6, 0.25, 0.2], [0.7, 0.7, 0.68], [0.65, 0.5, 0.35], [0.25, 0.45, 0.3]]
    paint = np.array(paints[int(between(0, len(paints)))])
    picture.rectangle(left, top, width, height, paint * 0.5)
    picture.rectangle(left + 0.03, top + 0.03, width - 0.06, height - 0.06, paint)
    picture.beam(left, top, width, height, 0.07, paint * 0.6)


def person(picture, between):
    x, top, tall = between(0.25, 0.75), between(0.08, 0.4), between(0.4, 0.58)
    vest = [[0.95, 0.45, 0.1], [0.8, 0.95, 0.15]][int(between(0, 2))]
    for side in (-1, 1):
        picture.rectangle(x + side * 0.08 * tall - 0.06 * tall, top + 0.6 * tall, 0.12 * tall, 0.4 * tall, [0.12, 0.13, 0.2])
    picture.rectangle(x - 0.2 * tall, top + 0.22 * tall, 0.4 * tall, 0.42 * tall, vest)
    picture.rectangle(x - 0.2 * tall, top + 0.4 * tall, 0.4 * tall, 0.05 * tall, [0.9, 0.9, 0.88])
    picture.disc(x, top + 0.12 * tall, 0.12 * tall, [0.85, 0.65, 0.52])
    picture.rectangle(x - 0.12 * tall, top, 0.24 * tall, 0.09 * tall, [0.95, 0.95, 0.95])


def smaller(picture, size):
    """Each pixel the mean of those that it stands for."""
    times = picture.shape[0] // size
    return picture.reshape(size, times, size, times, 3).mean((1, 3))
