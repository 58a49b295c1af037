"""Small models that a host has to run right: every type, several inputs, a shape that is known at run time only.

Each comes with the inputs for which `reference.json` has the outputs.
"""

import numpy as np

from recipes import bench
from recipes.graph import TYPES, constant, model, node, value


def make():
    """Name -> model and its cases, each of which is name of input -> array."""
    made = {f"type-{kind}": typed(kind) for kind in TYPES}
    made |= {"several": several(), "batch": batch(), "scalar": scalar(), "reshape": reshape()}
    made["mobile"] = (bench.small(), [{"x": eighths((1, 3, 16, 16), seed, 9)} for seed in (1, 2)])
    return made


def eighths(shape, seed, most=33):
    """Numbers that are short in decimals and the same in each type of floats."""
    return np.random.Generator(np.random.PCG64(seed)).integers(0, most, shape).astype(np.float32) / 8


def typed(kind):
    """The input once as it is, and once with one more in each place."""
    nodes = [node("Identity", "x", "same")]
    if kind == "u8":
        # Adding bytes is not in every engine.
        nodes += [node("Cast", "x", "wide", to=TYPES["i32"][0]), node("Add", "wide one", "sum")]
        nodes += [node("Cast", "sum", "more", to=TYPES["u8"][0])]
        one = constant("one", 1, "i32")
    else:
        nodes += [node("Add", "x one", "more")]
        one = constant("one", 1, kind)
    outputs = [value("same", [2, 3], kind), value("more", [2, 3], kind)]
    number = TYPES[kind][1]
    if kind.startswith("fp"):
        cases = [[0, 1, -1, 0.5, -0.25, 1000], [-0.125, 2048, 3, -7.5, 1.75, 60000]]
    else:
        least, most = np.iinfo(number).min, np.iinfo(number).max - 1
        cases = [[0, 1, 2, 3, 100, 101], [least, most, least + 1, most - 1, 7, 9]]
    cases = [{"x": np.array(case, dtype=number).reshape(2, 3)} for case in cases]
    return model(nodes, [value("x", [2, 3], kind)], outputs, [one]), cases


def several():
    """Two inputs of two types and three outputs: whoever goes by place and not by name gets another."""
    nodes = [node("Cast", "counts", "numbers", to=TYPES["fp32"][0]), node("Sub", "left numbers", "difference")]
    nodes += [node("Mul", "left numbers", "product"), node("ReduceSum", "product", "total", keepdims=0)]
    inputs = [value("left", [2, 3]), value("counts", [3], "i64")]
    outputs = [value("total", []), value("product", [2, 3]), value("difference", [2, 3])]
    cases = [{"left": eighths((2, 3), seed), "counts": np.array([seed, 0, -2], dtype=np.int64)} for seed in (3, 4)]
    return model(nodes, inputs, outputs), cases


def batch():
    """As many rows as there come."""
    weights = np.arange(-4, 4).reshape(4, 2) / 4
    nodes = [node("MatMul", "x weights", "product"), node("Add", "product bias", "y")]
    constants = [constant("weights", weights), constant("bias", [0.5, -0.5])]
    cases = [{"x": eighths((rows, 4), rows)} for rows in (1, 3, 8)]
    return model(nodes, [value("x", ["batch", 4])], [value("y", ["batch", 2])], constants), cases


def scalar():
    """A tensor of no dimensions."""
    return model([node("Exp", "x", "y")], [value("x", [])], [value("y", [])]), [{"x": np.array(1.5, dtype=np.float32)}]


def reshape():
    """Shapes that change, and what moves numbers without reckoning."""
    nodes = [node("Reshape", "x shape", "square"), node("Transpose", "square", "turned", perm=[1, 0])]
    nodes += [node("Concat", "square turned", "both", axis=1), node("Sigmoid", "both", "y")]
    constants = [constant("shape", [3, 3], "i64")]
    case = {"x": eighths((1, 9), 5)}
    return model(nodes, [value("x", [1, 9])], [value("y", [3, 6])], constants), [case]
