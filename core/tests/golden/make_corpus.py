"""Reference draws and windows for core/text: Python's random module, hashlib and Hugging Face tokenizers -> corpus.json

    python3 core/tests/golden/make_corpus.py DATA > core/tests/golden/corpus.json

DATA holds text/ and tokenizers/smollm2/tokenizer.json.
"""
import hashlib, json, random, struct, sys
from tokenizers import Tokenizer


def gptq_draws(lengths, windows, context, seed):
    """What GPTQ-style scripts do on C4's validation split, lengths[i] for len(tokenizer(valdata[i]['text']).input_ids)."""
    random.seed(seed)
    draws = []
    for _ in range(windows):
        while True:
            i = random.randint(0, len(lengths) - 1)
            if lengths[i] > context:
                break
        draws.append([i, random.randint(0, lengths[i] - context - 1)])
    return draws


def mersenne(seed):
    random.seed(seed)
    uniform = [random.random() for _ in range(700)]         # 1400 words: past two refills of the state
    return {"seed": str(seed), "uniform": uniform[:5] + uniform[-1:],
            "integer": [[high, random.randint(0, high)] for high in [0, 1, 2, 6, 255, 256, 99999, 2**32 - 1, 2**32, 2**40, 2**53]]}


def digest(segments, protocol, context, bos):
    """(window, inputs, targets) of each segment as corpus.h says they are hashed."""
    h = hashlib.sha256(protocol.encode() + b"\0" + struct.pack("<2i", context, bos))
    for window, inputs, targets in segments:
        h.update(struct.pack(f"<{2 + 2 * len(inputs)}i", window, len(inputs), *inputs, *targets))
    return h.hexdigest()


def plain(windows):
    return [(w, x[:-1], x[1:]) for w, x in enumerate(windows)]


def half(windows, bos):
    context = len(windows[0])
    return [(w, ([bos] if bos is not None else x[:1]) + x[1:-1], [-1] * (context // 2) + x[context // 2 + 1:]) for w, x in enumerate(windows)]


def whole(ids, context, windows=None):
    return [ids[k * context:(k + 1) * context] for k in range(len(ids) // context)][:windows]


def main(data):
    tokenizer = Tokenizer.from_file(f"{data}/tokenizers/smollm2/tokenizer.json")
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    read = lambda name: open(f"{data}/text/{name}", encoding="utf-8", newline="").read()

    lengths = [i * 7919 % 613 for i in range(200)]
    draws = [{"seed": str(seed), "context": context, "draws": gptq_draws(lengths, 24, context, seed)}
             for seed, context in [(0, 128), (1, 600), (2**40 + 5, 2)]]

    wiki, c4 = encode(read("wiki.test.raw")), encode(read("c4-sample.txt"))
    lines = [encode(line) for line in read("c4-sample.txt").split("\n") if line]
    drawn = gptq_draws([len(x) for x in lines], 256, 512, 0)
    windows = [lines[i][start:start + 512] for i, start in drawn]
    texts = {"wiki hf": digest(plain(whole(wiki, 512)), "hf", 512, 0),
             "wiki hf 4": digest(plain(whole(wiki, 512, 4)), "hf", 512, 0),
             "wiki hf bos": digest(plain(whole([1] + wiki, 512)), "hf", 512, 1),
             "wiki llama.cpp bos": digest(half(whole(wiki, 512), 1), "llama.cpp", 512, 1),
             "c4 hf": digest(plain(whole(c4, 512)), "hf", 512, 0),
             "c4 gptq": digest(plain(windows), "gptq", 512, 0)}

    documents = [(0, [1, 2, 3], [2, 3, 4]), (0, [4], [5]), (1, [6], [7])]
    golden = {"mersenne": [mersenne(s) for s in (0, 1, 2**32, 2**64 - 1)], "gptq": draws,
              "digest": digest(documents, "documents", 3, 0), "c4_documents": len(lines), "texts": texts}
    print("{\n" + ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in golden.items()) + "\n}")


main(sys.argv[1])
