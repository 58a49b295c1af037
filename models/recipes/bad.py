"""Models that a host has to survive: files that are none, graphs that mean nothing, and work without end.

None is meant to run well. What a host makes of each is for its tests to say; here stands only what is wrong with it.
The ones of `RUN` look well and hurt when they run; each takes a `x` of one float, where nothing else is said.
"""

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper

from recipes.graph import OPSET, constant, encoded, model, node, value


def make(whole):
    """Name -> bytes. `whole` is a good model, to be spoiled."""
    files = {"empty": b"", "text": b"This is no model.\n", "truncated": whole[: len(whole) // 2]}
    files["noise"] = np.random.Generator(np.random.PCG64(21)).bytes(512)
    files |= {name: encoded(make()) for name, make in LOAD.items()}
    files |= {"deep": nested(30), "deeper": nested(200)}
    files |= {name: encoded(make()) for name, make in RUN.items()}
    return files


def unchecked(nodes, inputs=None, outputs=None, constants=()):
    x, y = [value("x", [1])], [value("y", [1])]
    return model(nodes, x if inputs is None else inputs, y if outputs is None else outputs, constants, checked=False)


def no_graph():
    made = unchecked([node("Relu", "x", "y")])
    made.ClearField("graph")
    return made


def cycle():
    return unchecked([node("Add", "x second", "first"), node("Relu", "first", "second"), node("Neg", "first", "y")])


def unknown_operator():
    return of_another_house(node("Frobnicate", "x", "y", domain="com.example"))


def disguised_operator():
    """Not the operator that one knows by this name."""
    return of_another_house(node("Relu", "x", "y", domain="com.example"))


def of_another_house(its):
    made = unchecked([its])
    made.opset_import.append(helper.make_opsetid("com.example", 1))
    return made


def future():
    made = unchecked([node("Relu", "x", "y")])
    made.ir_version, made.opset_import[0].version = 999, 999
    return made


def output_of_nothing():
    return unchecked([node("Relu", "x", "z")])


def input_of_nothing():
    return unchecked([node("Add", "x nothing", "y")])


def wrong_shapes():
    wide = constant("wide", np.zeros((2, 3)))
    return unchecked([node("MatMul", "x wide", "y")], inputs=[value("x", [1, 5])], constants=[wide])


def same_outputs():
    return unchecked([node("Relu", "x", "y"), node("Neg", "x", "y")])


def same_names():
    """Nodes of one name: an engine may take it, and an operator may wonder."""
    nodes = [node("Relu", "x", "z"), node("Neg", "z", "y")]
    for one in nodes:
        one.name = "twin"
    return unchecked(nodes)


def same_inputs():
    return unchecked([node("Relu", "x", "y")], inputs=[value("x", [1]), value("x", [2])])


def same_constants():
    twins = [constant("one", [1.0]), constant("one", [2.0])]
    return unchecked([node("Add", "x one", "y")], constants=twins)


def external(location):
    weight = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value=location)
    return unchecked([node("Add", "x weight", "y")], constants=[weight])


def constant_of(dims, content=b"\0\0\0\0"):
    """Says it is larger than it is."""
    weight = TensorProto(name="weight", data_type=TensorProto.FLOAT, dims=dims, raw_data=content)
    return unchecked([node("Add", "x weight", "y")], constants=[weight])


def input_of(shape, kind=TensorProto.FLOAT):
    x, y = (helper.make_tensor_value_info(name, kind, shape) for name in "xy")
    return unchecked([node("Identity", "x", "y")], inputs=[x], outputs=[y])


def sequence_input():
    x = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [1])
    return unchecked([node("SequenceLength", "x", "y")], inputs=[x], outputs=[value("y", [], "i64")])


def filled_when_loaded():
    """Sixteen GiB of nothing that an engine can reckon before it runs, and then has."""
    nodes = [node("ConstantOfShape", "shape", "much", value=constant("one", [1.0]))]
    nodes += [node("ReduceMax", "much", "most", keepdims=0)]
    return unchecked(nodes + [node("Add", "x most", "y")], constants=[constant("shape", [65536, 65536], "i64")])


def recursive_function():
    """A function of the model's own that calls itself."""
    again = helper.make_node("Again", ["a"], ["b"], domain="own")
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("own", 1)]
    made = unchecked([helper.make_node("Again", ["x"], ["y"], domain="own")])
    made.opset_import.append(helper.make_opsetid("own", 1))
    made.functions.append(helper.make_function("own", "Again", ["a"], ["b"], [again], imports))
    return made


def nested(depth):
    """If within If. It is put together from bytes, since the library itself refuses what is too deep."""
    leaf = GraphProto(name="g", node=[node("Neg", "x", "o")], output=[value("o", [1])])
    shell, graph = GraphProto(name="g", output=[value("o", [1])]), leaf.SerializeToString(deterministic=True)
    otherwise = helper.make_attribute("else_branch", leaf)
    test = NodeProto(op_type="If", name="if", input=["c"], output=["o"], attribute=[otherwise])
    then = AttributeProto(name="then_branch", type=AttributeProto.GRAPH)
    for _ in range(depth):
        branch = then.SerializeToString(deterministic=True) + field(6, graph)
        choice = test.SerializeToString(deterministic=True) + field(5, branch)
        graph = shell.SerializeToString(deterministic=True) + field(1, choice)
    outer = GraphProto(node=[node("Cast", "x", "c", to=TensorProto.BOOL)], input=[value("x", [1])])
    made = unchecked([])
    made.ClearField("graph")
    return encoded(made) + field(7, outer.SerializeToString(deterministic=True) + graph)


def field(number, content):
    """A field of protobuf that holds bytes."""
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def slow_nodes(count=400, side=512):
    """Some seconds in many steps: whoever looks between steps can end it."""
    nodes, last = [node("Expand", "x shape", "m0")], 0
    for last in range(1, count + 1):
        nodes += [node("MatMul", f"m{last - 1} m{last - 1}", f"p{last}"), node("Mul", f"p{last} part", f"m{last}")]
    nodes += [node("ReduceMax", f"m{last}", "most", keepdims=0), node("Add", "most x", "y")]
    return unchecked(nodes, constants=[constant("shape", [side, side], "i64"), constant("part", 1 / side)])


def slow_when_loaded(count=200, side=512):
    """The same work, on constants: an engine may do it when it loads."""
    made = slow_nodes(count, side)
    made.graph.node[0].CopyFrom(node("ConstantOfShape", "shape", "m0", value=constant("one", [1.0])))
    return made


def slow_node(side=4096):
    """Some seconds in one step: nobody gets between."""
    nodes = [node("Expand", "x shape", "large"), node("MatMul", "large large", "product")]
    nodes += [node("ReduceMax", "product", "most", keepdims=0), node("Add", "most x", "y")]
    return unchecked(nodes, constants=[constant("shape", [side, side], "i64")])


def filled_when_run():
    nodes = [node("Expand", "x shape", "much"), node("Exp", "much", "more"), node("ReduceMax", "more", "most", keepdims=0)]
    return unchecked(nodes + [node("Add", "x most", "y")], constants=[constant("shape", [65536, 65536], "i64")])


def long_range():
    """As many numbers as `count` says."""
    nodes = [node("Range", "zero count one", "much"), node("ReduceMax", "much", "y", keepdims=0)]
    constants = [constant("zero", 0, "i64"), constant("one", 1, "i64")]
    return unchecked(nodes, [value("count", [], "i64")], [value("y", [], "i64")], constants)


def division():
    """Of `x` by `y`, both whole: by nothing, or the least number by -1, stops a processor."""
    inputs = [value("x", [1], "i32"), value("y", [1], "i32")]
    return unchecked([node("Div", "x y", "z")], inputs, [value("z", [1], "i32")])


def division_when_loaded():
    nodes = [node("Div", "one none", "broken"), node("Add", "x broken", "y")]
    constants = [constant("one", [1], "i32"), constant("none", [0], "i32")]
    return unchecked(nodes, [value("x", [1], "i32")], [value("y", [1], "i32")], constants)


def beyond():
    """The number at `index` of four."""
    four = constant("four", [1.0, 2.0, 3.0, 4.0])
    return unchecked([node("Gather", "four index", "y")], [value("index", [1], "i64")], constants=[four])


def endless():
    """A loop that has no reason to end."""
    inputs = [value("turn", [], "i64"), helper.make_tensor_value_info("on", TensorProto.BOOL, []), value("a", [1])]
    outputs = [helper.make_tensor_value_info("still", TensorProto.BOOL, []), value("b", [1])]
    body = helper.make_graph([node("Identity", "on", "still"), node("Neg", "a", "b")], "body", inputs, outputs)
    constants = [constant("turns", 2**63 - 1, "i64"), helper.make_tensor("true", TensorProto.BOOL, [], [True])]
    return unchecked([node("Loop", "turns true x", "y", body=body)], constants=constants)


LOAD = {
    "no-graph": no_graph,
    "cycle": cycle,
    "unknown-operator": unknown_operator,
    "disguised-operator": disguised_operator,
    "future": future,
    "output-of-nothing": output_of_nothing,
    "input-of-nothing": input_of_nothing,
    "wrong-shapes": wrong_shapes,
    "same-outputs": same_outputs,
    "same-names": same_names,
    "same-inputs": same_inputs,
    "same-constants": same_constants,
    "external-absolute": lambda: external("/etc/passwd"),
    "external-parent": lambda: external("../outside.bin"),
    "external-beside": lambda: external("text.onnx"),
    "constant-too-large": lambda: constant_of([1 << 30]),
    "constant-beyond-numbers": lambda: constant_of([1 << 32, 1 << 32]),
    "constant-negative": lambda: constant_of([-1]),
    "constant-without-bytes": lambda: constant_of([1 << 40], content=b""),
    "input-gigantic": lambda: input_of([1 << 40]),
    "input-beyond-numbers": lambda: input_of([1 << 62, 1 << 62]),
    "input-text": lambda: input_of([1], TensorProto.STRING),
    "input-bf16": lambda: input_of([1], TensorProto.BFLOAT16),
    "input-sequence": sequence_input,
    "filled-when-loaded": filled_when_loaded,
    "division-when-loaded": division_when_loaded,
    "slow-when-loaded": slow_when_loaded,
    "recursive-function": recursive_function,
}

RUN = {
    "slow-nodes": slow_nodes,
    "slow-node": slow_node,
    "filled-when-run": filled_when_run,
    "long-range": long_range,
    "division": division,
    "beyond": beyond,
    "endless": endless,
}
