"""Remakes pbllm.safetensors:  python3 core/tests/golden/pbllm/make.py   (needs numpy, safetensors)

What PB-LLM makes of the matrix and the Hessian of ../gptq/gptq.safetensors, from its definition: one column at a time, the explicit inverse of
the Hessian, a sort for the salient weights; float64 but for what is stored in 16 bits.  "<case>.salient" is 1 where a weight is salient.
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
    return np.float16(x).astype(np.float64)


def keep(name, hessian, low=0.9, bits=8, metric="magnitude", group=W.shape[1], percdamp=0.01):
    rows, cols = W.shape
    alive, top = np.diag(hessian) > 0, 2 ** bits - 1
    damped = hessian + np.diag(np.where(alive, 0, 1)) + percdamp * np.diag(hessian)[alive].mean() * np.eye(cols)
    u = np.linalg.cholesky(np.linalg.inv(damped)).T
    score = np.where(alive, W ** 2 / (np.diag(u) ** 2 if metric == "hessian" else 1), 0)
    salient = np.zeros(W.size, bool)
    salient[np.argsort(-score.ravel(), kind="stable")[:round((1 - low) * W.size)]] = True
    salient = salient.reshape(W.shape)
    least, step = half(W.min(1)), half((W.max(1) - W.min(1)) / top)
    w, out = W.copy(), np.zeros_like(W)
    for j in range(cols):
        if j % group == 0:
            here = slice(j, min(j + group, cols))
            others = ~salient[:, here]
            a = half((np.abs(w[:, here]) * others).sum(1) / np.maximum(others.sum(1), 1))
        grid = least + step * np.clip(np.rint((w[:, j] - least) / step), 0, top)
        out[:, j] = np.where(salient[:, j], grid, np.where(w[:, j] >= 0, a, -a))
        w[:, j + 1:] -= np.outer((w[:, j] - out[:, j]) / u[j, j], u[j, j + 1:])
    tensors[name], tensors[name + ".salient"] = out.astype(np.float32), salient.astype(np.float32)
    error = out - W
    print(f"{name:10} t2 {(error ** 2).sum() / (W ** 2).sum():.6f}  tr(EHE') {np.einsum('ij,jk,ik', error, H, error):.6f}")


keep("default", H)
keep("hessian", H, low=0.8, metric="hessian")
keep("groups", H, low=0.55, bits=4, group=50, percdamp=0.1)
keep("dead", DEAD, metric="hessian")
save_file(tensors, HERE / "pbllm.safetensors")
