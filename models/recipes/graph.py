"""What every recipe builds models with: names, types, weights and a file, and nothing that differs from run to run.

Operator set 17 and format 8: what tract 0.23 and every onnxruntime of the last years read.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
FORMAT = 8

TYPES = {
    "fp16": (TensorProto.FLOAT16, np.float16),
    "fp32": (TensorProto.FLOAT, np.float32),
    "fp64": (TensorProto.DOUBLE, np.float64),
    "u8": (TensorProto.UINT8, np.uint8),
    "i32": (TensorProto.INT32, np.int32),
    "i64": (TensorProto.INT64, np.int64),
}


def value(name, shape, kind="fp32"):
    """An input or output. A text in its shape is a dimension that is only known at run time."""
    return helper.make_tensor_value_info(name, TYPES[kind][0], shape)


def constant(name, array, kind="fp32"):
    return numpy_helper.from_array(np.asarray(array, dtype=TYPES[kind][1]), name)


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), name=outputs.split()[0], **attributes)


def model(nodes, inputs, outputs, constants=(), checked=True):
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(constants))
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT, producer_name="edgewit"
    )
    if checked:
        onnx.checker.check_model(made, full_check=True)
    return made


def encoded(made):
    return made.SerializeToString(deterministic=True)


def on_grid(weights, step=1 / 1024):
    """The nearest multiples of `step`, so that processors which round sums differently come to the same weights."""
    return np.round(np.asarray(weights) / step) * step


class Adam:
    """Gradient descent with a pace of its own for each weight."""

    def __init__(self, weights, rate):
        self.weights, self.rate, self.steps = weights, rate, 0
        self.mean = [np.zeros_like(weight) for weight in weights]
        self.square = [np.zeros_like(weight) for weight in weights]

    def step(self, gradients):
        self.steps += 1
        for weight, gradient, mean, square in zip(self.weights, gradients, self.mean, self.square):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            scale = np.sqrt(square / (1 - 0.999**self.steps)) + 1e-8
            weight -= self.rate * mean / (1 - 0.9**self.steps) / scale
