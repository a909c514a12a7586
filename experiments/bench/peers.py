#!/usr/bin/env python3
"""The same forward pass with NLL by PyTorch and transformers: random weights of the same shape, random tokens.

    peers.py [--shape llama-3.1-8b] [--context 8192] [--windows 1] [--repeats 5] [--precision bf16] [--device cuda]

Prints one JSON object: seconds (median, least, most), tokens per second, and the rate of one large product of the same
precision by torch.matmul.  Attention by torch's scaled_dot_product_attention, once as torch chooses and once held to
FlashAttention where it has it.
"""
import argparse
import json
import statistics
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import LlamaConfig, LlamaForCausalLM

SHAPES = {
    "llama-3.1-8b": dict(num_hidden_layers=32, hidden_size=4096, num_attention_heads=32, num_key_value_heads=8, intermediate_size=14336,
                         vocab_size=128256, tie_word_embeddings=False),
    "llama-3.2-1b": dict(num_hidden_layers=16, hidden_size=2048, num_attention_heads=32, num_key_value_heads=8, intermediate_size=8192,
                         vocab_size=128256, tie_word_embeddings=True),
    "smollm2-135m": dict(num_hidden_layers=30, hidden_size=576, num_attention_heads=9, num_key_value_heads=3, intermediate_size=1536,
                         vocab_size=49152, tie_word_embeddings=True),
}


def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def timed(f, repeats, device):
    seconds = []
    for i in range(repeats + 2):
        wait(device)
        start = time.perf_counter()
        f()
        wait(device)
        if i >= 2:
            seconds.append(time.perf_counter() - start)
    return dict(median=statistics.median(seconds), least=min(seconds), most=max(seconds), n=repeats)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", default="llama-3.1-8b", choices=SHAPES)
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--windows", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", default="bf16", choices=["bf16", "fp32"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    dtype = torch.bfloat16 if a.precision == "bf16" else torch.float32
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(1)

    n = 8192 if a.device == "cuda" else 1536
    x, w = (torch.randn(n, n, device=a.device, dtype=dtype) for _ in range(2))
    product = timed(lambda: torch.matmul(x, w.T), 10, a.device)
    del x, w

    config = LlamaConfig(**SHAPES[a.shape], max_position_embeddings=131072, rms_norm_eps=1e-5, attn_implementation="sdpa")
    torch.set_default_dtype(dtype)
    with torch.device(a.device):
        model = LlamaForCausalLM(config).eval()
    torch.set_default_dtype(torch.float32)
    ids = torch.randint(0, config.vocab_size, (a.windows, a.context), device=a.device)

    @torch.no_grad()
    def forward():
        return model(input_ids=ids, labels=ids, use_cache=False).loss.item()

    result = dict(shape=a.shape, context=a.context, windows=a.windows, precision=a.precision, torch=torch.__version__,
                  device=torch.cuda.get_device_name() if a.device == "cuda" else "cpu", product_flops_per_second=2 * n**3 / product["median"])
    result["forward"] = timed(forward, a.repeats, a.device)
    result["tokens_per_second"] = a.windows * a.context / result["forward"]["median"]
    if a.device == "cuda" and dtype == torch.bfloat16:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            result["forward_flash"] = timed(forward, a.repeats, a.device)
    print(json.dumps(result))


main()
