"""`anomaly.onnx`: knows how the cold rooms' temperatures go, and is at a loss when they go otherwise.

An autoencoder: sixteen readings of one sensor pass through four numbers and come out again. Four are enough for what
it has seen (any phase of the swing, any moment of an open door) and not for anything else, so the distance between
what went in and what comes out is small for the usual and grows with the unusual. The readings are plain degrees:
their scale is the model's own business, and a model that was trained for other rooms needs no other component.

    readings [batch, 16] -> 32 tanh -> 4 tanh -> 32 tanh -> reconstruction [batch, 16]
"""

import numpy as np

from recipes import rooms
from recipes.graph import Adam, constant, model, node, on_grid, value

WINDOW, HIDDEN, CODE = 16, 32, 4
MIDDLE, SPREAD = 4.0, 2.0
STEPS, BATCH, RATE = 20_000, 256, 0.003

# A mean distance of so many degrees is an anomaly; `components/anomaly` has the same number.
LIMIT = 0.3
# What `components/threshold` does in the cold room: the mean of two seconds, at four samples a second, above 7 degrees.
THRESHOLD_SAMPLES, THRESHOLD = 8, 7.0

RUN, DRIFT_FROM, DRIFT = 600, 200, 0.02
HELD_OUT = range(1000, 1020)
DOOR = 48


def make():
    rooms.check()
    weights = train()
    return graph(weights), assess(weights)


def windows(readings):
    return np.lib.stride_tricks.sliding_window_view(readings, WINDOW)


def seen():
    """Twelve runs of the room without a door, and of the one with it at three rhythms."""
    kinds = [(1, 0), (0, 37), (0, DOOR), (0, 61)]
    runs = [rooms.temperatures(seed, room, RUN, door) for seed in range(1, 13) for room, door in kinds]
    return np.concatenate([windows(run) for run in runs])


def train():
    chance = np.random.Generator(np.random.PCG64(1))
    sizes = [WINDOW, HIDDEN, CODE, HIDDEN, WINDOW]
    weights = []
    for size, following in zip(sizes, sizes[1:]):
        weights += [chance.uniform(-1, 1, (size, following)) * np.sqrt(3 / size), np.zeros(following)]
    data = (seen() - MIDDLE) / SPREAD
    adam = Adam(weights, RATE)
    for step in range(STEPS):
        adam.rate = RATE * min(1, 1.5 * (STEPS - step) / STEPS + 0.01)
        adam.step(gradients(weights, data[chance.integers(0, len(data), BATCH)]))
    return [on_grid(weight) for weight in weights]


def layers(weights, batch):
    """What each layer puts out, the batch first."""
    outputs = [batch]
    for layer in range(4):
        sums = outputs[-1] @ weights[2 * layer] + weights[2 * layer + 1]
        outputs.append(sums if layer == 3 else np.tanh(sums))
    return outputs


def gradients(weights, batch):
    outputs = layers(weights, batch)
    found = [None] * len(weights)
    slope = (outputs[-1] - batch) * 2 / len(batch)
    for layer in (3, 2, 1, 0):
        if layer < 3:
            slope = slope * (1 - outputs[layer + 1] ** 2)
        found[2 * layer], found[2 * layer + 1] = outputs[layer].T @ slope, slope.sum(0)
        slope = slope @ weights[2 * layer].T
    return found


def scores(weights, readings):
    """The distance for each window, in degrees."""
    data = (windows(readings) - MIDDLE) / SPREAD
    return SPREAD * np.sqrt(((layers(weights, data)[-1] - data) ** 2).mean(1))


def assess(weights):
    """Figures on seeds that it has not seen. Not good enough is an error."""
    usual = [scores(weights, rooms.temperatures(seed, *kind)) for seed in HELD_OUT for kind in [(1, RUN), (0, RUN, DOOR)]]
    false_alarms = sum(bool((run > LIMIT).any()) for run in usual)
    leads, noticed = [], []
    for seed in HELD_OUT:
        readings = rooms.temperatures(seed, 1, RUN, drift=DRIFT, drift_from=DRIFT_FROM)
        seen_at = first(scores(weights, readings) > LIMIT) + WINDOW - 1
        passed = readings.reshape(-1, THRESHOLD_SAMPLES).mean(1) > THRESHOLD
        noticed.append(seen_at - DRIFT_FROM)
        leads.append((first(passed) + 1) * THRESHOLD_SAMPLES - 1 - seen_at)
    figures = {
        "distance of the usual, mean": round(float(np.concatenate(usual).mean()), 3),
        "distance of the usual, greatest": round(float(np.concatenate(usual).max()), 3),
        f"false alarms in {len(usual)} runs of {RUN} samples": false_alarms,
        "samples of drift until it is seen, median": float(np.median(noticed)),
        "samples ahead of the threshold, median": float(np.median(leads)),
        "samples ahead of the threshold, least": int(min(leads)),
    }
    assert min(noticed) >= 0 and np.median(leads) >= 10 and false_alarms <= 1, figures
    return figures


def cases():
    """A usual window, one with an open door, one of a sensor that has drifted; and all of them at once."""
    kinds = [(8, rooms.temperatures(7, 1, RUN)), (20, rooms.temperatures(7, 0, RUN, DOOR))]
    kinds += [(250, rooms.temperatures(7, 1, RUN, drift=DRIFT, drift_from=DRIFT_FROM))]
    chosen = np.stack([windows(readings)[start] for start, readings in kinds]).astype(np.float32)
    return [{"readings": rows} for rows in (chosen[:1], chosen[1:2], chosen[2:], chosen)]


def first(truths):
    assert truths.any(), "never seen"
    return int(np.argmax(truths))


def graph(weights):
    nodes = [node("Sub", "readings middle", "centred"), node("Div", "centred spread", "layer0")]
    constants = [constant("middle", MIDDLE), constant("spread", SPREAD)]
    for layer in range(4):
        constants += [constant(f"weight{layer}", weights[2 * layer]), constant(f"bias{layer}", weights[2 * layer + 1])]
        nodes += [node("MatMul", f"layer{layer} weight{layer}", f"product{layer}")]
        nodes += [node("Add", f"product{layer} bias{layer}", f"sum{layer}")]
        nodes += [node("Tanh", f"sum{layer}", f"layer{layer + 1}")] if layer < 3 else []
    nodes += [node("Mul", "sum3 spread", "wide"), node("Add", "wide middle", "reconstruction")]
    shape = ["batch", WINDOW]
    return model(nodes, [value("readings", shape)], [value("reconstruction", shape)], constants)
