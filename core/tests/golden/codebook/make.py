"""Remakes codebook.json:  python3 core/tests/golden/codebook/make.py   (needs numpy, scipy, torch, bitsandbytes 0.50)

nf: levels at quantiles from scipy's.  af: levels whose bins they halve, from scipy's quadrature of the distribution of a
Gaussian weight over the largest of its block, solved as a system of equations.  double: the scales and t^2 of bitsandbytes'
NF4 with double quantization of the matrix that `weights` makes.
"""
import json
import pathlib

import numpy as np
import torch
from bitsandbytes import functional
from scipy.integrate import quad
from scipy.optimize import fsolve
from scipy.special import erf
from scipy.stats import norm


def nf(bits, outermost):
    half = 2 ** (bits - 1)
    positive = norm.ppf(np.linspace(outermost, 0.5, half + 1)[:-1])
    negative = -norm.ppf(np.linspace(outermost, 0.5, half)[:-1])
    return sorted(np.concatenate([positive, [0], negative]) / norm.ppf(outermost))


def mass(x, block):
    """of a weight over the largest between 0 and x, given that it is not the largest itself"""
    def integrand(m):
        u = erf(m / 2 ** 0.5)
        return block * u ** (block - 2) * norm.pdf(m) * erf(m * x / 2 ** 0.5)
    return quad(integrand, 0, 12, epsabs=1e-13, epsrel=1e-12, limit=400, points=[0.5, 1, 2, 3, 4, 5])[0]


def side(n, block, start):
    def unequal(inner):
        level = np.concatenate([inner, [1]])
        edge = np.concatenate([[0], (level[:-1] + level[1:]) / 2])
        below = [mass(x, block) for x in edge]
        return [2 * mass(level[k], block) - below[k] - below[k + 1] for k in range(n)]
    return list(fsolve(unequal, start, xtol=1e-12)) if n else []


def af(bits, blocks):
    """for blocks of rising size, each from the levels of the one before"""
    half, levels = 2 ** (bits - 1), {}
    negative, positive = ((np.arange(n) + 0.6) / (n + 1.5) for n in (half - 2, half - 1))
    for block in blocks:
        negative, positive = side(half - 2, block, negative), side(half - 1, block, positive)
        levels[f"b{bits}.g{block}"] = [-1, *(-x for x in reversed(negative)), 0, *positive, 1]
    return levels


def hashed(i):
    h = i.astype(np.uint32) * np.uint32(2654435761)
    h ^= h >> np.uint32(15)
    h *= np.uint32(2246822519)
    h ^= h >> np.uint32(13)
    return (h >> np.uint32(16)).astype(np.float64) / 65536


def weights(rows, cols, group):
    i = np.arange(rows * cols)
    return (0.1 * (hashed(i) - 0.5) * (0.5 + hashed(i // group + 1000000))).astype(np.float32).reshape(rows, cols)


def double(rows, cols, group):
    w = weights(rows, cols, group)
    packed, state = functional.quantize_4bit(torch.from_numpy(w), blocksize=group, compress_statistics=True, quant_type="nf4")
    back = functional.dequantize_4bit(packed, state).numpy().astype(np.float64)
    scale = functional.dequantize_blockwise(state.absmax, state.state2) + state.offset
    return {"rows": rows, "cols": cols, "group": group, "t2": ((back - w) ** 2).sum() / (w.astype(np.float64) ** 2).sum(),
            "scale": [float(x) for x in scale]}


golden = {
    "nf": {f"{name}.b{b}": nf(b, p) for b in (2, 3, 4)
           for name, p in (("fixed", 929 / 960), ("width", (2 - 0.5 / (2 ** b - 1) - 0.5 / 2 ** b) / 2))},
    "af": af(2, (2, 7, 64, 1024)) | af(3, (2, 7, 64, 1024)) | af(4, (2, 7, 32, 64, 128, 256, 1024, 8192)),
    "double": double(20, 2048, 64),
}
pathlib.Path(__file__).with_name("codebook.json").write_text(json.dumps(golden, indent=0) + "\n")
