"""Makes every model of this folder from nothing: trains what is shipped, draws what tests look at.

    python models/build.py            makes all that is checked in, into this folder
    python models/build.py --check    makes it elsewhere, and says what differs from what is checked in
    python models/build.py --bench F  makes the models that benchmarks run into the folder F, the large one, too

`cargo xtask models [--check]` does the first two with the right versions of everything (`requirements.txt`).

The same comes out on every machine: chance is seeded, nothing holds a time, and trained weights are rounded far above
what processors differ in. `reference.json` holds what onnxruntime reckons; it may differ within the tolerances in it.
Samples are pictures, and may be packed otherwise. So both are compared by what they say, all else byte by byte.
"""

import os

# Sums that two threads share come out as chance has it.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import hashlib
import json
import pathlib
import sys

from recipes import anomaly, bad, bay, bench, classify, fixtures, reference, samples
from recipes.graph import encoded

HERE = pathlib.Path(__file__).resolve().parent
DIGESTS, REFERENCE = "digests.txt", "reference.json"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--bench", metavar="F", type=pathlib.Path)
    chosen = arguments.parse_args()
    if chosen.bench:
        write(chosen.bench, {f"{make.__name__}.onnx": encoded(make()) for make in (bench.mlp, bench.cnn, bench.mobilenet)})
    elif chosen.check:
        sys.exit(check())
    else:
        write(HERE, make())
        (HERE / DIGESTS).write_text(digests(HERE))


def make():
    """File -> bytes, of everything but the digests."""
    files, cases = {}, {}
    for recipe in (anomaly, classify):
        name = recipe.__name__.split(".")[-1]
        model, figures = recipe.make()
        files[f"{name}.onnx"] = encoded(model)
        print(f"{name}: " + "; ".join(f"{what} {number}" for what, number in figures.items()))
        cases[f"{name}.onnx"] = recipe.cases()
    files["classify.labels.txt"] = "".join(f"{label}\n" for label in bay.LABELS).encode()
    for name, (model, its) in fixtures.make().items():
        files[f"fixtures/{name}.onnx"], cases[f"fixtures/{name}.onnx"] = encoded(model), its
    files |= {"bench/mlp.onnx": encoded(bench.mlp()), "bench/cnn.onnx": encoded(bench.cnn())}
    files |= {f"bad/{name}.onnx": content for name, content in bad.make(files["fixtures/batch.onnx"]).items()}
    files |= {f"samples/{name}.png": content for name, content in samples.make().items()}
    said = reference.make({file: (files[file], its) for file, its in cases.items()})
    return files | {REFERENCE: reference.text(said).encode()}


def write(folder, files):
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content)
    print(f"{len(files)} files, {sum(map(len, files.values())) // 1024} KiB, in {folder.name}")


def digests(folder):
    """Of everything that is no source, as `sha256sum --check` reads it."""
    kinds = (".onnx", ".json", ".png", ".jpg", ".labels.txt")
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.name.endswith(kinds))
    return "".join(f"{hashlib.sha256((folder / file).read_bytes()).hexdigest()}  {file}\n" for file in files)


def check():
    """Complaints, on standard error; nothing where all is as it was."""
    made = make()
    listed = {line.split()[1] for line in digests(HERE).splitlines() if not line.endswith(".jpg")}
    complaints = [f"{file} is made by nothing" for file in sorted(listed - made.keys())]
    complaints += [f"{file} is not there" for file in sorted(made.keys() - listed)]
    for file in sorted(made.keys() & listed):
        content, kept = made[file], (HERE / file).read_bytes()
        if file == REFERENCE:
            other = reference.differences(json.loads(kept), json.loads(content))
            complaints += [f"{REFERENCE} says something else of {model}" for model in other]
        elif file.endswith(".png") and samples.pixels(kept) == samples.pixels(content):
            continue
        elif kept != content:
            complaints.append(f"{file} comes out otherwise")
    if (HERE / DIGESTS).read_text() != digests(HERE):
        complaints.append(f"{DIGESTS} is not of these files")
    print("\n".join(complaints) or "everything comes out as it is checked in", file=sys.stderr)
    return len(complaints) and "run `cargo xtask models`, and look at what changed"


if __name__ == "__main__":
    main()
