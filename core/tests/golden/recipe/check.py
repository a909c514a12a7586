"""Recipes read by the programs they are for: does each layer get the setting that the allocation gives it, and no other one any?

    python3 core/tests/golden/recipe/check.py [--draws 20] [--model MODEL.gguf] FORMAT..

FORMAT is gptqmodel, compressed-tensors, auto-round or llama-quantize.  Random allocations over a small model go through
build/linearity recipe; what comes out is read by the other program's own code, and its answer for every matrix is compared with
the allocation.  Needed are, from PyPI: gptqmodel (its source alone will do, in PYTHONPATH); compressed-tensors, torch, transformers;
auto-round, torch, transformers; llama-cpp-python, gguf, and a GGUF file that --model names.  Nothing is downloaded.
"""
import argparse, ctypes, json, os, random, subprocess, sys, tempfile

TYPES = "q k v o gate up down".split()
MODULES = dict(q="self_attn.q_proj", k="self_attn.k_proj", v="self_attn.v_proj", o="self_attn.o_proj",
               gate="mlp.gate_proj", up="mlp.up_proj", down="mlp.down_proj")
TENSORS = dict(q="attn_q", k="attn_k", v="attn_v", o="attn_output", gate="ffn_gate", up="ffn_up", down="ffn_down")
GGML = "q8_0 q4_0 q4_1 q5_0 q5_1 iq4_nl q2_k q3_k q4_k q5_k q6_k".split()
FALLBACK = dict(q2_k="iq4_nl", q3_k="iq4_nl", q4_k="q5_0", q5_k="q5_1", q6_k="q8_0")
BLOCKS = 12                                     # more than 10, so that block 1 could be taken for block 10


def choices(draw):
    """Names and (bits, group, symmetric, act_order) of a few settings."""
    out = []
    for _ in range(draw.randint(1, 5)):
        bits, group, symmetric, act_order = draw.randint(2, 8), draw.choice([0, 32, 64, 128]), draw.random() < 0.5, draw.random() < 0.5
        if bits == 8: symmetric = True          # AutoRound takes 8 bits only so
        method = "gptq" if act_order else "rtn"
        name = f"{method}-bits{bits}-group{group}" + ("-symmetric_yes" if symmetric else "") + ("-clip_mse" if draw.random() < 0.5 else "")
        out.append((name + ("-act_order_yes" if act_order else ""), (bits, group or -1, symmetric, act_order)))
    return out


def allocation(draw, menu, blocks):
    """{layer: choice}; some layers are left out, but never all."""
    share = draw.choice([0.05, 0.8, 1.0])
    out = {f"blocks.{b}.{t}": draw.choice(menu) for b in range(blocks) for t in TYPES if draw.random() < share}
    return out or {"blocks.0.q": menu[0]}


def recipe(chosen, form, *options):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"allocations": [{"budget": 4, "choices": chosen}]}, file)
        file.flush()
        words = [os.environ.get("LINEARITY_BINARY", "build/linearity"), "recipe", file.name, "--format", form, "--quiet", *options]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def compare(got, want, what):
    """Both {name: setting or None}."""
    wrong = [f"{name}: {got.get(name)} and not {want.get(name)}" for name in sorted(set(got) | set(want)) if got.get(name) != want.get(name)]
    if wrong: sys.exit(f"{what}: {len(wrong)} of {len(want)} layers differ\n  " + "\n  ".join(wrong[:5]))


def tiny_model():
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.manual_seed(1)
    return LlamaForCausalLM(LlamaConfig(hidden_size=128, intermediate_size=256, num_hidden_layers=BLOCKS, num_attention_heads=4, num_key_value_heads=2,
                                        vocab_size=64, tie_word_embeddings=False))


def linear_names(model):
    import torch
    return [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]


# ---- each program's answer: {module name: (bits, group, symmetric, act_order) or None} ----

def ask_gptqmodel(text, names, model):
    from gptqmodel.quantization.config import QuantizeConfig
    config = QuantizeConfig(**json.loads(text), offload_to_disk=False)
    out = {}
    for name in names:
        if name == "lm_head" or config.dynamic_get(layer_name=name) is False:      # it quantizes no head unless told to
            out[name] = None
            continue
        get = lambda key: config.dynamic_get(name, key, getattr(config, key))
        assert get("desc_act") == get("static_groups")
        out[name] = (int(get("bits")), get("group_size"), get("sym"), get("desc_act"))
    return out


def ask_compressed_tensors(text, names, model):
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
    config = QuantizationConfig.model_validate(json.loads(text))
    apply_quantization_config(model, config)
    out = {}
    for name, module in model.named_modules():
        scheme = getattr(module, "quantization_scheme", None)
        if name not in names: assert scheme is None, name
        elif scheme is None: out[name] = None
        else:
            w = scheme.weights
            assert scheme.input_activations is None and str(getattr(w.type, "value", w.type)) == "int"
            strategy = str(getattr(w.strategy, "value", w.strategy))
            assert strategy == ("group" if w.group_size else "channel")
            out[name] = (w.num_bits, w.group_size or -1, w.symmetric, w.actorder is not None)
    return out


def ask_auto_round(text, names, model):
    from auto_round.compressors.utils import set_layer_config
    from auto_round.utils import INNER_SUPPORTED_LAYER_TYPES, SUPPORTED_LAYER_TYPES
    config, outside, _ = set_layer_config(model, json.loads(text), "W4A16", "fp16", SUPPORTED_LAYER_TYPES, INNER_SUPPORTED_LAYER_TYPES)
    assert not outside
    out = {name: None for name in names}
    for name, c in config.items():
        if c["bits"] <= 8: out[name] = (c["bits"], c["group_size"], c["sym"], False)
    return out


def check_modules(form, ask, draws, order=True):
    for seed in range(draws):
        draw = random.Random(seed)
        menu = dict(choices(draw))
        model = tiny_model()
        chosen, names = allocation(draw, list(menu), BLOCKS), linear_names(model)
        want = {name: None for name in names}
        for layer, choice in chosen.items():
            _, block, kind = layer.split(".")
            bits, group, symmetric, act_order = menu[choice]
            want[f"model.layers.{block}.{MODULES[kind]}"] = (bits, group, symmetric, act_order and order)
        # Blocks beyond the last one that the allocation names need a model to be known.
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            # A row is one group where it is no longer than that.
            rows = {name: module.weight.shape[1] for name, module in model.named_modules() if name in want}
            want = {name: s and (s[0], -1 if s[1] >= rows[name] else s[1], *s[2:]) for name, s in want.items()}
            compare(ask(recipe(chosen, form, "--model", folder), names, model), want, f"{form}, draw {seed}")
    print(f"{form}: {draws} allocations read as they were meant")


# ---- llama-quantize ----

def parse_type_file(text):
    """As tools/quantize/quantize.cpp does: words, lower case up to the first '='."""
    return [(word.split("=", 1)[0].lower(), word.split("=", 1)[1]) for word in text.split()]


def quantize(source, target, overrides):
    import gguf, llama_cpp
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0
    params.allow_requantize = True
    table = (llama_cpp.llama_cpp.llama_model_tensor_override * (len(overrides) + 1))()
    for slot, (pattern, kind) in zip(table, overrides):
        slot.pattern, slot.type = pattern.encode(), int(gguf.GGMLQuantizationType[kind.upper()])
    table[len(overrides)].type = 1000           # the end: no pattern
    params.tt_overrides = table
    if llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)): sys.exit("llama_model_quantize failed")


def check_llama_quantize(draws, source):
    import gguf
    before = {t.name: t for t in gguf.GGUFReader(source).tensors}
    blocks = 1 + max(int(name.split(".")[1]) for name in before if name.startswith("blk."))
    for seed in range(draws):
        draw = random.Random(seed)
        chosen = allocation(draw, [f"ggml-type_{t}" for t in GGML], blocks)
        want = {name: t.tensor_type.name.lower() for name, t in before.items()}
        for layer, choice in chosen.items():
            _, block, kind = layer.split(".")
            name, value = f"blk.{block}.{TENSORS[kind]}.weight", choice.split("_", 1)[1]
            want[name] = FALLBACK[value] if value in FALLBACK and before[name].shape[0] % 256 else value
        with tempfile.TemporaryDirectory() as folder:
            target = os.path.join(folder, "out.gguf")
            quantize(source, target, parse_type_file(recipe(chosen, "llama-quantize", "--model", source)))
            after = {t.name: t for t in gguf.GGUFReader(target).tensors}
            compare({name: t.tensor_type.name.lower() for name, t in after.items()}, want, f"llama-quantize, draw {seed}")
            for name, t in after.items():
                same = t.tensor_type == before[name].tensor_type
                assert not same or (t.data == before[name].data).all(), f"{name} was touched"
    print(f"llama-quantize: {draws} files whose tensors have the types that were meant")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--model")
    parser.add_argument("formats", nargs="+", choices=["gptqmodel", "compressed-tensors", "auto-round", "llama-quantize"])
    a = parser.parse_args()
    for form in a.formats:
        if form == "gptqmodel": check_modules(form, ask_gptqmodel, a.draws)
        if form == "compressed-tensors": check_modules(form, ask_compressed_tensors, a.draws)
        if form == "auto-round": check_modules(form, ask_auto_round, a.draws, order=False)
        if form == "llama-quantize": check_llama_quantize(a.draws, a.model)


main()
