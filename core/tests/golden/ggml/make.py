"""Remakes ggml.safetensors:  python3 core/tests/golden/ggml/make.py   (needs numpy, gguf, safetensors, llama-cpp-python)

weights [10][512] (F32): rows that ask different things of a quantizer.  For every format what ggml's own library makes of them:
"<format>.blocks" (bytes, called F16) and "<format>.sha256", the digest of the float32 weights that gguf makes of the blocks.
"<format>.many": the digest of the bytes that the library makes of 2^20 weights which the test makes too (see many_weights).
"""
import hashlib
import pathlib

import numpy as np
from safetensors.numpy import save_file

import reference

COLS = 512
random = np.random.default_rng(20241122)


def rows():
    halves = lambda a, b: np.concatenate([a, b])
    normal = lambda n=COLS: random.normal(0, 1, n)
    outliers = normal() * np.where(random.random(COLS) < 0.01, 20, 1)
    zeros = halves(np.zeros(COLS // 2), -np.zeros(COLS // 2))
    zeros[100] = -0.0
    return [
        0.02 * normal(),
        0.01 * random.standard_t(2, COLS),
        outliers,
        zeros,
        halves(np.full(COLS // 2, 0.37), np.full(COLS // 2, -0.37)),
        # scales that are subnormal as halves, that vanish as halves, that are subnormal as floats
        np.repeat([1e-6, 1e-9, 1e-15, 1e-39], COLS // 4) * normal(),
        np.clip(2e4 * normal(), -6e4, 6e4),
        halves(random.uniform(0.5, 1, COLS // 2), random.uniform(-1, -0.5, COLS // 2)),
        # groups with one weight, with none, with a little
        normal() * (random.random(COLS) < 0.03) + 1e-16 * normal() * np.repeat(random.random(COLS // 16) < 0.5, 16),
        random.integers(-16, 17, COLS) * 0.5,       # many ties
    ]


def many_weights():
    """Weight i: the four 16-bit parts of splitmix64's output i added up, centred and scaled to (-2, 2); its cube in odd rows."""
    with np.errstate(over="ignore"):
        z = np.arange(1, 2**20 + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        z = z ^ z >> np.uint64(31)
    x = ((z.view(np.uint16).reshape(-1, 4).sum(axis=1).astype(np.int64) - 2**17) / 2**16).astype(np.float32).reshape(-1, COLS)
    x[1::2] = x[1::2] * x[1::2] * x[1::2]
    return x


def digest(x):
    return np.frombuffer(hashlib.sha256(x.tobytes()).digest(), dtype=np.float16)


ggml = reference.library()
weights = np.stack(rows()).astype(np.float32)
many = many_weights()
tensors = {"weights": weights}
for name in reference.TYPES:
    blocks = reference.quantize(ggml, name, weights)
    values = reference.dequantize(name, blocks)
    assert np.isfinite(values).all()
    tensors[f"{name}.blocks"] = blocks.reshape(-1).view(np.float16)
    tensors[f"{name}.sha256"] = digest(values)
    tensors[f"{name}.many"] = digest(reference.quantize(ggml, name, many))

save_file(tensors, pathlib.Path(__file__).with_name("ggml.safetensors"))
