"""`reference.json`: what onnxruntime says to given inputs, for whoever has to say the same.

Numbers are plain JSON, a tensor row by row. `absolute` and `relative` say how far off another engine may be: an output
`y` is right where |y - expected| <= absolute + relative * |expected|.
"""

import json

import numpy as np
import onnxruntime

from recipes.graph import TYPES

NAMES = {np.dtype(number): name for name, (_, number) in TYPES.items()}
EXACT, CLOSE, HALF = (0, 0), (1e-5, 1e-4), (1e-3, 1e-3)


def make(models):
    """`models` is file -> bytes and cases."""
    return {"models": {file: entry(*models[file]) for file in sorted(models)}}


def entry(content, cases):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    said = []
    for case in cases:
        outputs = dict(zip(names, session.run(names, case)))
        said.append({"inputs": tensors(case), "outputs": tensors(outputs)})
    absolute, relative = tolerance(said)
    return {"absolute": absolute, "relative": relative, "cases": said}


def tolerance(cases):
    kinds = {tensor["type"] for case in cases for tensor in case["outputs"]}
    return HALF if "fp16" in kinds else CLOSE if kinds & {"fp32", "fp64"} else EXACT


def tensors(arrays):
    return [tensor(name, np.asarray(array)) for name, array in arrays.items()]


def tensor(name, array):
    kind = NAMES[array.dtype]
    numbers = array.ravel().tolist() if array.dtype.kind in "iu" else [short(number) for number in array.ravel()]
    return {"name": name, "type": kind, "shape": list(array.shape), "data": numbers}


def short(number):
    """The shortest decimal that is this number in its own type."""
    return float(np.format_float_positional(number, unique=True))


def text(reference):
    """A line for each case, so that a change can be read."""
    return '{"models": {\n' + ",\n".join(section(*item) for item in reference["models"].items()) + "\n}}\n"


def section(file, entry):
    limits = f'"absolute": {entry["absolute"]}, "relative": {entry["relative"]}'
    cases = ",\n".join(json.dumps(case, separators=(",", ":")) for case in entry["cases"])
    return f'"{file}": {{{limits}, "cases": [\n{cases}\n]}}'


def differences(old, new):
    """Files for which the two say something else, within what is allowed."""
    if old["models"].keys() != new["models"].keys():
        return sorted(old["models"].keys() ^ new["models"].keys())
    return [file for file, entry in new["models"].items() if not alike(old["models"][file], entry)]


def alike(old, new):
    if len(old["cases"]) != len(new["cases"]):
        return False
    pairs = zip(flattened(old), flattened(new))
    return all(
        [one[key] for key in ("name", "type", "shape")] == [other[key] for key in ("name", "type", "shape")]
        and np.allclose(one["data"], other["data"], rtol=new["relative"], atol=new["absolute"])
        for one, other in pairs
    )


def flattened(entry):
    return [tensor for case in entry["cases"] for side in ("inputs", "outputs") for tensor in case[side]]
