//! onnxruntime: a shared library of somebody else, only ever loaded in a child.
