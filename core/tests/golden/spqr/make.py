"""Remakes spqr.safetensors:  python3 core/tests/golden/spqr/make.py   (needs numpy, safetensors)

What SpQR makes of the matrix and the Hessian of ../gptq/gptq.safetensors, from its definition: one weight at a time, the explicit inverse of
the Hessian, every leave-one-out fit done in full; float64 but for what is stored in 16 bits.  "<case>.kept" is 1 where a weight is an outlier.
"""
import pathlib

import numpy as np
from safetensors.numpy import load_file, save_file

HERE = pathlib.Path(__file__).parent
source = load_file(HERE / "../gptq/gptq.safetensors")
W, H = source["weight"].astype(np.float64), source["hessian"].astype(np.float64)
DEAD = H.copy()
for j in (5, 77, 143):
    DEAD[j, :] = DEAD[:, j] = 0
tensors = {}


def half(x):
    return float(np.float16(x))


def grid(values, top):
    low, high = min(0, *values), max(0, *values)
    scale = (high - low) / top
    return scale, (-low / scale if scale > 0 else 0.0)


def near(w, scale, zero, top):
    return scale * (np.clip(np.rint(w / scale + zero), 0, top) - zero) if scale > 0 else 0.0


def fit_without_outliers(w, worth, top, threshold):
    def cost(of, g):
        return sum((near(w[k], *g, top) - w[k]) ** 2 * worth[k] for k in of)

    everyone = range(len(w))
    whole = cost(everyone, grid([w[k] for k in everyone] + [0], top))
    stay = []
    for k in everyone:
        others = [i for i in everyone if i != k]
        if not whole - cost(others, grid([w[i] for i in others] + [0], top)) > threshold:
            stay.append(w[k])
    return grid(stay + [0, 0], top)


def second_level(x, bits):
    top = 2 ** bits - 1
    step, least = half((max(x) - min(x)) / top), half(min(x))
    return [least + step * (np.clip(np.rint((v - least) / step), 0, top) if step > 0 else 0) for v in x]


def spqr(hessian, bits, group, scale_bits, zero_bits, stat_group, threshold, percdamp):
    rows, cols = W.shape
    alive, top = np.diag(hessian) > 0, 2 ** bits - 1
    damped = hessian + np.diag(np.where(alive, 0, 1)) + percdamp * np.diag(hessian)[alive].mean() * np.eye(cols)
    u = np.linalg.cholesky(np.linalg.inv(damped)).T
    worth = np.where(alive, 1 / np.diag(u) ** 2, 0)
    limit = threshold * (W.var(0) * worth).mean()
    w, out, kept = W.copy(), np.zeros_like(W), np.zeros_like(W)
    for j in range(cols):
        if j % group == 0:
            here = slice(j, min(j + group, cols))
            first = [fit_without_outliers(w[r, here], worth[here], top, limit) for r in range(rows)]
            grids = []
            for r in range(0, rows, stat_group):
                block = first[r:r + stat_group]
                grids += zip(second_level([s for s, _ in block], scale_bits), second_level([z for _, z in block], zero_bits))
        for r in range(rows):
            out[r, j] = near(w[r, j], *grids[r], top)
            if (out[r, j] - w[r, j]) ** 2 * worth[j] > limit:
                out[r, j], kept[r, j] = half(w[r, j]), 1
            w[r, j + 1:] -= (w[r, j] - out[r, j]) / u[j, j] * u[j, j + 1:]
    return out, kept


def keep(name, hessian, bits, group, scale_bits=3, zero_bits=3, stat_group=16, threshold=0.2, percdamp=1.0):
    out, kept = spqr(hessian, bits, group, scale_bits, zero_bits, stat_group, threshold, percdamp)
    tensors[name], tensors[name + ".kept"] = out.astype(np.float32), kept.astype(np.float32)
    error = out - W
    print(f"{name:16} t2 {(error ** 2).sum() / (W ** 2).sum():.6f}  tr(EHE') {np.einsum('ij,jk,ik', error, H, error):.6f}  outliers {kept.mean():.4f}")


keep("default", H, 3, 16)
keep("none", H, 3, 16, threshold=np.inf)
keep("uneven", H, 2, 20, scale_bits=4, zero_bits=2, stat_group=4, threshold=1.0, percdamp=0.01)
keep("row", H, 4, 144, stat_group=8, threshold=0.05)
keep("dead", DEAD, 3, 16)
save_file(tensors, HERE / "spqr.safetensors")
