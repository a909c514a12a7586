"""Remakes dequant.safetensors:  python3 core/tests/golden/dequant/make.py   (needs numpy, gguf, safetensors)

For every block format four or eight blocks of random bytes with ordinary half-precision scales, and what
gguf.quants.dequantize makes of them: tensors "<format>.blocks" (bytes, called F16)
and "<format>.weights" (F32).
"""
import pathlib

import gguf
import numpy as np
from gguf import quants
from safetensors.numpy import save_file

# where the half-precision scales of a block stand, in bytes
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
random = np.random.default_rng(20241122)
tensors = {}


def keep(name, kind, data):
    tensors[f"{name}.blocks"] = np.ascontiguousarray(data).reshape(-1).view(np.float16)
    tensors[f"{name}.weights"] = quants.dequantize(data, kind).astype(np.float32).reshape(-1)


for name, places in SCALES.items():
    kind = gguf.GGMLQuantizationType[name]
    n_blocks = 8 if gguf.GGML_QUANT_SIZES[kind][0] == 32 else 4
    blocks = random.integers(0, 256, (n_blocks, gguf.GGML_QUANT_SIZES[kind][1]), dtype=np.uint8)
    for place in places:        # of both signs, one of them subnormal in half precision
        scales = random.normal(0, 0.02, n_blocks).astype(np.float16)
        scales[0] = 3e-6
        blocks[:, place:place + 2] = scales.view(np.uint8).reshape(n_blocks, 2)
    keep(name, kind, blocks)

keep("F16", gguf.GGMLQuantizationType.F16, np.array(
    [0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x3c00, 0xbc01, 0x7bff, 0x7c00, 0xfc00, *random.integers(0, 0x7c00, 54)],
    dtype=np.uint16).view(np.uint8))
keep("BF16", gguf.GGMLQuantizationType.BF16, np.array(
    [0x0000, 0x8000, 0x0001, 0x807f, 0x0080, 0x3f80, 0xbf81, 0x7f7f, 0x7f80, 0xff80, *random.integers(0, 0x7f80, 54)],
    dtype=np.uint16).view(np.uint8))

save_file(tensors, pathlib.Path(__file__).with_name("dequant.safetensors"))
