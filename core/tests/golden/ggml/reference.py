"""ggml's own quantizers, from the library inside the Python package llama-cpp-python (libggml-base), called as llama-quantize does."""
import ctypes
import importlib.util
import pathlib

import gguf
import numpy as np

TYPES = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]


def library(path=None):
    if path is None:    # without importing the package, which would load much more
        path = pathlib.Path(importlib.util.find_spec("llama_cpp").origin).parent / "lib" / "libggml-base.so"
    return ctypes.CDLL(str(path))


def sizes(name):
    """Weights and bytes of a block."""
    return gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]


def float_pointer(x):
    assert x.dtype == np.float32 and x.flags.c_contiguous
    return x.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


def quantize(ggml, name, x):
    """The bytes of the blocks of x [rows][cols], without an importance matrix."""
    rows, cols = x.shape
    weights, n_bytes = sizes(name)
    out = np.zeros((rows, cols // weights * n_bytes), dtype=np.uint8)
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    written = ggml.ggml_quantize_chunk(
        ctypes.c_int(gguf.GGMLQuantizationType[name].value), float_pointer(x), out.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0), ctypes.c_int64(rows), ctypes.c_int64(cols), None)
    assert written == out.size
    return out


def dequantize(name, blocks):
    return gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[name]).astype(np.float32)
