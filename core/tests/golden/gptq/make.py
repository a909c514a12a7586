"""Remakes gptq.safetensors:  python3 core/tests/golden/gptq/make.py   (needs numpy, safetensors)

A matrix, the Hessian 2 X X' / n and mean |x| of made-up inputs, and what GPTQ, GPTQ in the HIGGS domain and AWQ make of them,
from their definitions: plain loops over columns, the explicit inverse of the Hessian, scales not rounded, everything in float64.
"dead" results are of the same Hessian with rows and columns 5, 77 and 143 set to 0.
"""
import pathlib

import numpy as np
from safetensors.numpy import save_file

ROWS, COLS = 10, 144
random = np.random.default_rng(20251117)
mix = random.standard_normal((COLS, COLS)) / COLS ** 0.5 + np.eye(COLS)
inputs = mix @ random.standard_normal((COLS, 2 * COLS)) * np.exp(0.7 * random.standard_normal((COLS, 1)))
weight = (random.standard_normal((ROWS, COLS)) * 0.02 * np.exp(0.5 * random.standard_normal((ROWS, 1)))).astype(np.float32)
weight[3, 50], weight[7, 140] = 0.21, -0.17
hessian = (2 * inputs @ inputs.T / inputs.shape[1]).astype(np.float32)
mean = np.abs(inputs).mean(1).astype(np.float32)
tensors = {"weight": weight, "hessian": hessian, "mean": mean.reshape(1, -1)}
W, H, A = weight.astype(np.float64), hessian.astype(np.float64), mean.astype(np.float64)
DEAD = H.copy()
for j in (5, 77, 143):
    DEAD[j, :] = DEAD[:, j] = 0


def keep(name, result):
    tensors[name] = result.astype(np.float32)
    error = result - W
    print(f"{name:28} t2 {(error ** 2).sum() / (W ** 2).sum():.6f}  tr(EHE') {np.einsum('ij,jk,ik', error, H, error):.6f}")


# ---- grids: low and high are [rows, 1] ----

def grid(low, high, bits, symmetric):
    if symmetric:
        high = np.maximum(np.abs(low), np.abs(high))
        top = 2 * (2 ** (bits - 1) - 1)
        return 2 * high / top, np.full_like(high, top / 2), top
    top = 2 ** bits - 1
    scale = (high - low) / top
    return scale, np.rint(-low / scale), top


def rounded(w, g):
    scale, zero, top = g
    return scale * (np.clip(np.rint(w / scale) + zero, 0, top) - zero)


def fit(w, bits, symmetric=False, mse=False):
    """The grid of each row of w [rows, group]."""
    low, high = w.min(1, keepdims=True), w.max(1, keepdims=True)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    best = grid(low, high, bits, symmetric)
    if mse:
        scale, zero, top = (np.array(x, dtype=float, copy=True) for x in best)
        least = (np.abs(rounded(w, best) - w) ** 2.4).sum(1)
        for i in range(1, 80):
            g = grid((1 - i / 100) * low, (1 - i / 100) * high, bits, symmetric)
            error = (np.abs(rounded(w, g) - w) ** 2.4).sum(1)
            better = error < least
            least[better], scale[better], zero[better] = error[better], g[0][better], g[1][better]
        best = scale, zero, top
    return best


# ---- GPTQ ----

def factor(h, percdamp=0.01):
    h = h.copy()
    live = np.diag(h) > 0
    damping = percdamp * np.diag(h)[live].mean()
    h[~live, ~live] = 1
    return np.linalg.cholesky(np.linalg.inv(h + damping * np.eye(len(h)))).T


def gptq(h, bits, group, act_order=False, **how):
    group = group or COLS
    order = np.argsort(-np.diag(h), kind="stable") if act_order else np.arange(COLS)
    u = factor(h[np.ix_(order, order)])
    w, out, grids = W[:, order].copy(), np.zeros_like(W), {}
    if act_order:
        grids = {c: fit(W[:, c:c + group], bits, **how) for c in range(0, COLS, group)}
    for j in range(COLS):
        column = order[j]
        first = column // group * group
        if first not in grids:
            grids[first] = fit(w[:, j:j + group], bits, **how)
        out[:, column] = rounded(w[:, j:j + 1], grids[first])[:, 0]
        w[:, j + 1:] -= np.outer((w[:, j] - out[:, column]) / u[j, j], u[j, j + 1:])
    return out


keep("gptq.b3.g32", gptq(H, 3, 32))
keep("gptq.b3.g32.symmetric", gptq(H, 3, 32, symmetric=True))
keep("gptq.b3.g32.mse", gptq(H, 3, 32, mse=True))
keep("gptq.b3.g32.act_order", gptq(H, 3, 32, act_order=True))
keep("gptq.b2.g0.act_order", gptq(H, 2, 0, act_order=True))
keep("gptq.b4.g140", gptq(H, 4, 140))
keep("gptq.b3.g32.dead", gptq(DEAD, 3, 32))


# ---- GPTQ in the HIGGS domain, with grids of random points that go with the results: better ones may come, these stay ----

def hadamard(n):
    h = np.ones((1, 1))
    while len(h) < n:
        h = np.block([[h, h], [h, -h]])
    return h


for p, n in ((2, 16), (2, 256), (3, 64)):
    tensors[f"grid.p{p}n{n}"] = (1.1 * np.random.default_rng(100 * p + n).standard_normal((n, p))).astype(np.float32)


def gptq_higgs(h, p, n, group):
    points = tensors[f"grid.p{p}n{n}"].astype(np.float64)
    padded = -(-COLS // group) * group
    rotation = np.kron(np.eye(padded // group), hadamard(group)) / group ** 0.5
    y = np.zeros((ROWS, padded))
    y[:, :COLS] = W
    y = y @ rotation
    full = np.zeros((padded, padded))
    full[:COLS, :COLS] = h
    u = factor(rotation @ full @ rotation)
    norms = np.sqrt((y.reshape(ROWS, -1, group) ** 2).mean(2))
    out = np.zeros_like(y)
    for start in range(0, padded, group):
        scale = norms[:, start // group, None]
        for j in range(start, start + group, p):
            end = min(j + p, start + group)
            z = np.zeros((ROWS, p))
            z[:, :end - j] = y[:, j:end] / scale
            code = ((z[:, None] - points) ** 2).sum(2).argmin(1)
            out[:, j:end] = scale * points[code, :end - j]
            for k in range(j, end):
                y[:, end:] -= np.outer((y[:, k] - out[:, k]) / u[k, k], u[k, end:])
    return (out @ rotation)[:, :COLS]


keep("gptq_higgs.p2n16.g16", gptq_higgs(H, 2, 16, 16))
keep("gptq_higgs.p2n256.g16", gptq_higgs(H, 2, 256, 16))
keep("gptq_higgs.p3n64.g64", gptq_higgs(H, 3, 64, 64))          # fills the row up to 192, and each group up to 66


# ---- AWQ ----

def output_error(e, h):
    return np.einsum("ij,jk,ik->i", e, h, e)


def awq(bits, group, scales=True, clipping=True, symmetric=False, H=H, A=A):
    group = group or COLS
    places = [slice(c, min(c + group, COLS)) for c in range(0, COLS, group)]
    s, least = np.ones(COLS), np.inf
    for i in range(20) if scales else ():
        t = np.maximum(A ** (i / 20), 1e-4)
        t = (t / np.sqrt(t.max() * t.min())).astype(np.float16).astype(np.float64)
        out = np.hstack([rounded(W[:, g] * t[g], fit(W[:, g] * t[g], bits, symmetric)) / t[g] for g in places])
        error = output_error(out - W, H).sum()
        if error < least:
            least, s, power = error, t, i / 20
    out = np.zeros_like(W)
    for g in places:
        w = W[:, g] * s[g]
        low, high = w.min(1, keepdims=True), w.max(1, keepdims=True)
        if symmetric:
            high = np.maximum(-low, high)
            low = -high
        best = np.full(ROWS, np.inf)
        for i in range(10) if clipping else (0,):
            q = rounded(w, grid((1 - i / 20) * low, (1 - i / 20) * high, bits, symmetric)) / s[g]
            error = output_error(q - W[:, g], H[g, g])
            better = error < best
            best[better], out[better, g] = error[better], q[better]
    if scales:
        print("power", power)
    return out


keep("awq.b3.g32", awq(3, 32))
keep("awq.b3.g32.symmetric", awq(3, 32, symmetric=True))
keep("awq.b3.g32.scales", awq(3, 32, clipping=False))
keep("awq.b3.g32.clipping", awq(3, 32, scales=False))
keep("awq.b2.g0", awq(2, 0))
keep("awq.b3.g32.dead", awq(3, 32, H=DEAD, A=A * (np.diag(DEAD) > 0)))

save_file(tensors, pathlib.Path(__file__).with_name("gptq.safetensors"))
