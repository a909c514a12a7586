"""python3 core/tests/golden/ggml/check.py MODEL.gguf [ROWS]   (needs numpy, gguf, llama-cpp-python and a C compiler; not run by the tests)

Compares the quantizers of this repository with ggml's library and, for the formats that it can make, with gguf, byte for byte: on
every matrix of the model, dequantized (for the formats of 256 a matrix whose rows are no multiple of it is read in longer rows), and
with the library on ROWS (default 4000) random rows each of kinds that weights are not.  Exit status 1 where a block differs.
Some five minutes on two cores for SmolLM2-135M.
"""
import ctypes
import itertools
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np

import reference

ROOT = pathlib.Path(__file__).resolve().parents[4]
SOURCES = [ROOT / "core/quantize" / f"{name}.c" for name in ("ggml_small", "ggml_iq4_nl", "ggml_k", "block_search")]
PYTHON = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"]     # what gguf quantizes
FLAGS = "-std=c17 -D_GNU_SOURCE -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math -shared -fPIC".split()


def build():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "quantize.so"
        subprocess.run(["cc", *FLAGS, f"-I{ROOT}", "-o", path, *SOURCES, "-lm"], check=True)
        return ctypes.CDLL(str(path))


def quantize(ours, name, x):
    weights, n_bytes = reference.sizes(name)
    out = np.zeros((x.shape[0], x.shape[1] // weights * n_bytes), dtype=np.uint8)
    getattr(ours, f"quantize_{name.lower()}")(
        out.ctypes.data_as(ctypes.c_void_p), reference.float_pointer(x), ctypes.c_int64(x.size // weights))
    return out


def longer_rows(x, block):
    """As it is, or in rows of 2048 without the rest, where its own are no whole number of blocks."""
    return x if x.shape[1] % block == 0 else np.ascontiguousarray(x.reshape(-1)[: x.size // 2048 * 2048].reshape(-1, 2048))


def matrices(path):
    for tensor in gguf.GGUFReader(path).tensors:
        if tensor.name.startswith("blk.") and len(tensor.shape) == 2:
            yield "model", np.ascontiguousarray(reference.dequantize(tensor.tensor_type.name, tensor.data))


def unusual(rows):
    random = np.random.default_rng(7)
    shape = (rows, 512)
    normal = random.normal(0, 1, shape)
    powers = lambda low, high: 10.0 ** random.uniform(low, high, (rows, 1))
    with np.errstate(all="ignore"):
        yield "cauchy", random.standard_t(1, shape)
        yield "one side", random.uniform(0.5, 1, shape) * random.choice([-1, 1], (rows, 1))
        yield "offset", normal * powers(-8, 0) + random.normal(0, 1, (rows, 1))
        yield "ties", random.integers(-16, 17, shape) * 0.5
        yield "sparse", normal * (random.random(shape) < 0.03)
        yield "log-normal", np.exp(8 * normal) * random.choice([-1, 1], shape)
        yield "tiny", normal * powers(-45, -3)
        yield "huge", normal * powers(3, 37)
        yield "constant", np.repeat(normal[:, :16], 32, axis=1)


def main():
    ggml, ours = reference.library(), build()
    failed = False
    for name in reference.TYPES:
        block, n_bytes = reference.sizes(name)
        totals = {}
        for kind, x in itertools.chain(matrices(sys.argv[1]), unusual(int(sys.argv[2]) if len(sys.argv) > 2 else 4000)):
            x = longer_rows(np.ascontiguousarray(x, dtype=np.float32), block)
            x[~np.isfinite(x)] = 1
            mine, theirs = quantize(ours, name, x), reference.quantize(ggml, name, x)
            total = totals.setdefault(kind, {"tensors": 0, "blocks": 0, "differ": 0, "gguf": 0})
            total["tensors"] += 1
            total["blocks"] += mine.size // n_bytes
            total["differ"] += int((mine != theirs).reshape(-1, n_bytes).any(axis=1).sum())
            if kind == "model" and name in PYTHON:
                python = gguf.quants.quantize(x, gguf.GGMLQuantizationType[name])
                total["gguf"] += int((mine != python).reshape(-1, n_bytes).any(axis=1).sum())
        model = totals["model"]
        others = sum(t["differ"] for kind, t in totals.items() if kind != "model")
        failed |= model["differ"] + model["gguf"] + others > 0
        python = f", {model['gguf']} from gguf" if name in PYTHON else ""
        print(f"{name:7} model: {model['tensors']} tensors, {model['blocks']} blocks, {model['differ']} differ from ggml{python}; "
              f"unusual rows: {sum(t['blocks'] for t in totals.values()) - model['blocks']} blocks, {others} differ", flush=True)
    sys.exit(failed)


main()
