"""`classify.onnx`: says what is in a picture of a loading bay.

A small convolutional network, trained on the drawings of `bay.py`. Colours come as numbers from 0 to 1.

    image [batch, 3, 32, 32] -> conv 8, pool -> conv 16, pool -> conv 16, pool -> probabilities [batch, 4]
"""

import numpy as np

from recipes import bay
from recipes.graph import Adam, constant, model, node, on_grid, value

SIZE, CHANNELS = 32, [3, 8, 16, 16]
LABELS = bay.LABELS
PICTURES, TESTED, BATCH, ROUNDS, RATE = 480, 250, 40, 6, 0.004


def make():
    weights = train()
    return graph(weights), assess(weights)


def pictures(seeds):
    """Of each label one for each seed: drawn larger and made smaller, as a camera's are, and which label it is."""
    drawn = [bay.smaller(bay.draw(label, seed, 3 * SIZE), SIZE) for seed in seeds for label in LABELS]
    # A camera has 256 shades.
    return np.round(np.stack(drawn) * 255) / 255, np.tile(np.arange(len(LABELS)), len(seeds))


def cases():
    """A picture of each label, in eight shades, which are short to write."""
    images = np.round(pictures([2_000_000])[0].transpose(0, 3, 1, 2) * 8) / 8
    return [{"image": image[None].astype(np.float32)} for image in images]


def train():
    chance = np.random.Generator(np.random.PCG64(2))
    images, labels = pictures(range(PICTURES))
    flat = CHANNELS[-1] * (SIZE // 8) ** 2
    sizes = [(9 * one, other) for one, other in zip(CHANNELS, CHANNELS[1:])] + [(flat, len(LABELS))]
    weights = []
    for size, following in sizes:
        weights += [chance.uniform(-1, 1, (size, following)) * np.sqrt(6 / size), np.zeros(following)]
    adam, per_round = Adam(weights, RATE), len(images) // BATCH
    for step in range(ROUNDS * per_round):
        if step % per_round == 0:
            order = chance.permutation(len(images))
        adam.rate = RATE * (1 - step / (ROUNDS * per_round))
        chosen = order[step % per_round * BATCH :][:BATCH]
        adam.step(gradients(weights, images[chosen], labels[chosen]))
    return [on_grid(weight) for weight in weights]


def patches(images):
    """The three by three pixels around each pixel, [picture, row, column, 9 * channels]."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    return around.reshape(*images.shape[:3], -1)


def forward(weights, images):
    """Probabilities, and what the way back needs of each layer."""
    kept, current = [], images - 0.5
    for layer in range(3):
        columns = patches(current)
        sums = np.maximum(columns @ weights[2 * layer] + weights[2 * layer + 1], 0)
        count, rows, width, channels = sums.shape
        squares = sums.reshape(count, rows // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
        squares = squares.reshape(count, rows // 2, width // 2, channels, 4)
        kept.append((columns, squares))
        current = squares.max(-1)
    flat = current.transpose(0, 3, 1, 2).reshape(len(images), -1)
    sums = flat @ weights[6] + weights[7]
    raised = np.exp(sums - sums.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True), kept, flat


def gradients(weights, images, labels):
    probabilities, kept, flat = forward(weights, images)
    found = [None] * len(weights)
    slope = (probabilities - np.eye(len(LABELS))[labels]) / len(labels)
    found[6], found[7] = flat.T @ slope, slope.sum(0)
    side = SIZE // 8
    slope = (slope @ weights[6].T).reshape(-1, CHANNELS[-1], side, side).transpose(0, 2, 3, 1)
    for layer in (2, 1, 0):
        columns, squares = kept[layer]
        # Only the greatest of four passed, and only what is above zero.
        passed = (np.arange(4) == squares.argmax(-1)[..., None]) & (squares > 0)
        count, rows, width, channels, _ = squares.shape
        slope = (passed * slope[..., None]).reshape(count, rows, width, channels, 2, 2).transpose(0, 1, 4, 2, 5, 3)
        slope = slope.reshape(-1, channels)
        found[2 * layer], found[2 * layer + 1] = columns.reshape(len(slope), -1).T @ slope, slope.sum(0)
        if layer:
            back = (slope @ weights[2 * layer].T).reshape(count, 2 * rows, 2 * width, -1, 3, 3)
            padded = np.zeros((count, 2 * rows + 2, 2 * width + 2, back.shape[3]))
            for down in range(3):
                for right in range(3):
                    padded[:, down : down + 2 * rows, right : right + 2 * width] += back[..., down, right]
            slope = padded[:, 1:-1, 1:-1]
    return found


def assess(weights):
    images, labels = pictures(range(1_000_000, 1_000_000 + TESTED))
    said = forward(weights, images)[0]
    right = said.argmax(1) == labels
    figures = {f"right of {len(labels)} unseen pictures, %": round(100 * float(right.mean()), 2)}
    for number, label in enumerate(LABELS):
        figures[f"right of `{label}`, %"] = round(100 * float(right[labels == number].mean()), 2)
    assert right.mean() >= 0.95, figures
    return figures


def graph(weights):
    nodes, constants = [node("Sub", "image half", "layer0")], [constant("half", 0.5)]
    for layer, (before, after) in enumerate(zip(CHANNELS, CHANNELS[1:])):
        kernel = weights[2 * layer].T.reshape(after, before, 3, 3)
        constants += [constant(f"weight{layer}", kernel), constant(f"bias{layer}", weights[2 * layer + 1])]
        wires = f"layer{layer} weight{layer} bias{layer}"
        nodes += [node("Conv", wires, f"conv{layer}", kernel_shape=[3, 3], pads=[1, 1, 1, 1])]
        nodes += [node("Relu", f"conv{layer}", f"relu{layer}")]
        nodes += [node("MaxPool", f"relu{layer}", f"layer{layer + 1}", kernel_shape=[2, 2], strides=[2, 2])]
    constants += [constant("weight3", weights[6]), constant("bias3", weights[7])]
    nodes += [node("Flatten", "layer3", "flat"), node("Gemm", "flat weight3 bias3", "sums")]
    nodes += [node("Softmax", "sums", "probabilities", axis=1)]
    image, said = value("image", ["batch", 3, SIZE, SIZE]), value("probabilities", ["batch", len(LABELS)])
    return model(nodes, [image], [said], constants)
