"""Models of three sizes, for what inference costs: weights by chance, since nobody asks what they say.

`mlp` takes microseconds, so that it shows what a call costs. `cnn` takes some milliseconds, so that a few per cent of
overhead can be told from noise. `mobilenet` has the layers of MobileNetV2 at full width: what people really run.
"""

import numpy as np

from recipes.graph import constant, model, node, value


class Net:
    """Layers in a row, each wired to the one before it."""

    def __init__(self, seed):
        self.chance = np.random.Generator(np.random.PCG64(seed))
        self.nodes, self.constants, self.last, self.channels = [], [], "x", 0

    def add(self, kind, constants=(), **attributes):
        """With arrays of its own, or with names of those that another layer has."""
        name = f"{kind.lower()}{len(self.nodes)}"
        wires = [self.last] + [one if isinstance(one, str) else self.constant(one) for one in constants]
        self.nodes.append(node(kind, " ".join(wires), name, **attributes))
        self.last = name

    def constant(self, array):
        name = f"constant{len(self.constants)}"
        self.constants.append(constant(name, array))
        return name

    def weights(self, shape, inputs):
        return self.chance.uniform(-1, 1, shape) * np.sqrt(3 / inputs)

    def dense(self, inputs, outputs):
        self.add("Gemm", [self.weights((inputs, outputs), inputs), self.weights(outputs, inputs)])

    def conv(self, outputs, kernel=3, stride=1, groups=1, arrays=None):
        shape = (outputs, self.channels // groups, kernel, kernel)
        arrays = arrays or [self.weights(shape, np.prod(shape[1:])), self.weights(outputs, 100)]
        edge = kernel // 2
        settings = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [edge] * 4, "group": groups}
        self.add("Conv", arrays, **settings)
        self.channels = outputs

    def relu6(self):
        self.add("Clip", [0.0, 6.0])

    def bottleneck(self, outputs, stride, wider):
        """What MobileNetV2 is made of: wider, each channel by itself, narrow again, and past it where the shape stays."""
        before, inputs = self.last, self.channels
        if wider > 1:
            self.conv(inputs * wider, kernel=1)
            self.relu6()
        self.conv(self.channels, stride=stride, groups=self.channels)
        self.relu6()
        self.conv(outputs, kernel=1)
        if stride == 1 and inputs == outputs:
            name = f"add{len(self.nodes)}"
            self.nodes.append(node("Add", f"{before} {self.last}", name))
            self.last = name

    def pooled(self, outputs):
        self.add("GlobalAveragePool")
        self.add("Flatten")
        self.dense(self.channels, outputs)

    def model(self, shape, outputs):
        self.add("Softmax", axis=1)
        self.nodes[-1].output[0] = "y"
        return model(self.nodes, [value("x", shape)], [value("y", [shape[0], outputs])], self.constants)


def mlp():
    net = Net(11)
    for inputs, outputs in [(16, 32), (32, 32)]:
        net.dense(inputs, outputs)
        net.add("Relu")
    net.dense(32, 8)
    return net.model([1, 16], 8)


def cnn():
    """Ten layers that share their weights: as much work as if each had its own, in a small file."""
    net = Net(12)
    net.channels = 3
    net.conv(24)
    net.add("Relu")
    shared = [net.constant(net.weights((24, 24, 3, 3), 24 * 9)), net.constant(net.weights(24, 100))]
    for _ in range(10):
        net.conv(24, arrays=shared)
        net.add("Relu")
    net.pooled(10)
    return net.model([1, 3, 96, 96], 10)


def mobilenet():
    net = Net(13)
    net.channels = 3
    net.conv(32, stride=2)
    net.relu6()
    for wider, outputs, times, stride in MOBILENET:
        for repeat in range(times):
            net.bottleneck(outputs, stride if repeat == 0 else 1, wider)
    net.conv(1280, kernel=1)
    net.relu6()
    net.pooled(1000)
    return net.model([1, 3, 224, 224], 1000)


# Of "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.
MOBILENET = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]


def small():
    """A few layers of each kind that `mobilenet` has, for tests of what they compute."""
    net = Net(14)
    net.channels = 3
    net.conv(8, stride=2)
    net.relu6()
    net.bottleneck(8, 1, 1)
    net.bottleneck(12, 2, 6)
    net.bottleneck(12, 1, 6)
    net.pooled(5)
    return net.model([1, 3, 16, 16], 5)
