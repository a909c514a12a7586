"""mutations.py - do the tests notice when a kernel is wrong?

Each mutation replaces a piece of text, which must occur exactly once, by a wrong one.  The sources it concerns are compiled for the launch
shim, linked before the back end that is right, and the test named must fail (that unchanged it passes, `make unit` sees).  Made by `make mutations`:
MUTATIONS_CXX compiles, MUTATIONS_LINK and MUTATIONS_LIBS link, MUTATIONS_BUILD is where everything lies.
"""
import collections
import concurrent.futures
import os
import subprocess
import sys
import threading
import time

ROOT = "kernels/cuda/"
LIMIT = 120                                     # seconds that a test may take

# What is wrong; file; text; replacement; sources to compile (none: the file itself); test of kernels/tests ("core/...": of core/tests),
# "aligned" where its outputs have to be.
Mutation = collections.namedtuple("Mutation", "name file text replacement sources test")
MUTATIONS = [
    Mutation("reduction: the sums before may still be read", "device.cuh",
             "    __syncthreads();                        /* the sum before this one has been read */\n", "", ["rows/norm.cu"], "elementwise_backward"),
    Mutation("reduction: sums read before they are written", "device.cuh",
             "    if (threadIdx.x % WARP == 0) part[warp] = x;\n    __syncthreads();\n",
             "    if (threadIdx.x % WARP == 0) part[warp] = x;\n    __syncwarp();\n", ["rows/norm.cu"], "elementwise_backward"),
    Mutation("reduction: the last warp left out", "device.cuh",
             "for (int w = 0; w < THREADS / WARP; w++) {\n        T each", "for (int w = 0; w < THREADS / WARP - 1; w++) {\n        T each",
             ["rows/norm.cu"], "elementwise_backward"),
    Mutation("norm: a mean over one number more", "rows/norm.cu",
             "float scale = (float)(1 / sqrt(row_sum<THREADS>(squares) / C + epsilon));",
             "float scale = (float)(1 / sqrt(row_sum<THREADS>(squares) / (C + 1) + epsilon));", [], "elementwise"),
    Mutation("elementwise: a vector across the end of an array", "rows/four.cuh",
             "    if (f.vector && i + 4 <= n) {\n        store4(x, i,", "    if (f.vector && i < n) {\n        store4(x, i,",
             ["rows/elementwise.cu"], "elementwise aligned"),
    Mutation("elementwise: vectors where nothing is aligned", "rows/elementwise.cu",
             "{ aligned ? 1 : THREADS, aligned }", "{ 1, true }", [], "elementwise"),
    Mutation("attention: keys over values that are being read", "attention/attention.cu",
             "        __syncthreads();                    /* the values before have been read */\n", "", [], "products"),
    Mutation("attention: values over keys that are being read", "attention/attention.cu",
             "        __syncthreads();                    /* the keys have been read */\n", "        __syncwarp();\n", [], "products"),
    Mutation("attention: one key too many is seen", "attention/attention.cu",
             "if (s + across + ACROSS * j >= seen[i])", "if (s + across + ACROSS * j > seen[i])", [], "products"),
    Mutation("attention backward: tiles over what is being read", "attention/attention_backward.cu",
             "        __syncthreads();                    /* the tiles before have been read */\n", "", [], "attention_backward"),
    Mutation("attention backward: the keys before may still be read", "attention/attention_backward.cu",
             "    __syncthreads();                        /* the keys before have been read */\n", "", [], "attention_backward"),
    Mutation("attention bf16: an unfinished copy", "attention/attention_bf16.cu", "        wait_copies<0>();\n", "        wait_copies<1>();\n", [], "attention_bf16"),
    Mutation("attention bf16: no barrier behind a copy", "attention/attention_bf16.cu",
             "        else __syncthreads();                           /* this tile has come", "        else __syncwarp();                           /* this tile has come",
             [], "attention_bf16"),
    Mutation("attention bf16: q overwritten while it is read", "attention/attention_bf16.cu",
             "    __syncwarp();                                       /* q has been read */\n", "", [], "attention_bf16"),
    Mutation("attention backward bf16: an unfinished copy", "attention/attention_backward_bf16.cu",
             "        wait_copies<0>();\n        __syncthreads();                    /* these queries",
             "        wait_copies<1>();\n        __syncthreads();                    /* these queries", [], "attention_backward_bf16"),
    Mutation("attention backward bf16: keys over the queries that are being read", "attention/attention_backward_bf16.cu",
             "    hold<DIM>(dout, shared, 2 * TILE + warp * WARP_ROWS * STRIDE);\n    __syncthreads();\n",
             "    hold<DIM>(dout, shared, 2 * TILE + warp * WARP_ROWS * STRIDE);\n", [], "attention_backward_bf16"),
    Mutation("attention backward bf16: the statistics of another sequence", "attention/attention_backward_bf16.cu",
             "(((int64_t)(blockIdx.z * H + head) * padded + query) * 4", "(((int64_t)head * padded + query) * 4", [], "attention_backward_bf16"),
    Mutation("attention backward bf16: a key sees itself not", "attention/attention_backward_bf16.cu",
             "row + 8 * half > query + 8 * n + column + i)", "row + 8 * half >= query + 8 * n + column + i)", [], "attention_backward_bf16"),
    Mutation("upload: a half's sign in the wrong place", "transfer.cu", "(half & 0x8000) << 16)", "(half & 0x8000) << 15)", [], "upload"),
    Mutation("upload: the last numbers of a piece", "transfer.cu", "blocks_of(each, THREADS * EACH)", "(unsigned)(each / (THREADS * EACH))", [], "upload"),
    Mutation("download: the last piece stays", "transfer.cu", "at < bytes + PIECE; at += PIECE", "at < bytes; at += PIECE", [], "upload"),
    Mutation("loss: float for double", "loss/loss.cu",
             "other_log_sum = B[blockIdx.x], sum = 0;", "other_log_sum = B[blockIdx.x];\n    float sum = 0;", [], "losses"),
    Mutation("loss: a logit past the end of its row", "loss/loss.cu", "if (i + j * f.stride < V) sum", "if (i + j * f.stride <= V) sum", [], "losses"),
    Mutation("loss: of equal logits the last", "loss/loss.cu", "b.at < a.at) ? b : a", "b.at > a.at) ? b : a", [], "losses"),
    Mutation("loss: the maximum is read before it is there", "loss/loss.cu",
             "        at[threadIdx.x / WARP] = mine.at;\n    }\n    __syncthreads();\n", "        at[threadIdx.x / WARP] = mine.at;\n    }\n", [], "losses"),
    Mutation("loss: q . r is not scaled down where a larger logit comes", "loss/loss.cu",
             "            if (SIGNED) product *= exp(0.5 * ((double)shift - mine.value));\n", "", [], "logits"),
    Mutation("logit: p for its root", "loss/logit.cu", "q[j] -= q[j] * q[j] * product;", "q[j] -= q[j] * product;", [], "logits"),
    Mutation("logit: the target where neighbours would have it", "loss/logit.cu", "else if (i + j * f.stride == token)", "else if (i + j == token)", [], "logits"),
    Mutation("noise: a shorter group's mean over a whole one", "weights/noise.cu", "noise.t * sqrt(own / (double)width)", "noise.t * sqrt(own / (double)shape.group)",
             [], "noise"),
    Mutation("noise: the radius of the first pair for both", "weights/random.cuh", "q * d, q * t", "r * d, r * t", ["weights/noise.cu"], "noise"),
    Mutation("noise: kappa with its sign turned", "weights/noise.cu", "0 - sum[2] / sum[0]", "sum[2] / sum[0]", [], "noise"),
    Mutation("uniform: nobody looks at what registers do not hold", "weights/uniform.cu", "        const float v = w[i];\n        own.take(v);\n",
             "        const float v = w[i];\n        (void)v;\n", [], "quantized_weights"),
    Mutation("uniform: a group goes on in the next row", "weights/uniform.cu", "n = s.group < s.cols - col ? s.group : s.cols - col;", "n = s.group;",
             [], "quantized_weights"),
    Mutation("higgs: weights of the next row for the zeros behind one", "weights/higgs.cu", "if (at.col < s.cols) v =", "v =", [], "quantized_weights"),
    Mutation("higgs: codes are read before they are there", "weights/higgs.cu",
             "            if (q < all) room.code[q] = (uint16_t)index[v];\n        }\n    }\n    __syncthreads();\n",
             "            if (q < all) room.code[q] = (uint16_t)index[v];\n        }\n    }\n", [], "quantized_weights"),
    Mutation("grids: of equally near points the last", "weights/quantize.cuh", "if (distance < best)", "if (distance <= best)", ["weights/grid_encode.cu"], "quantize_kernels"),
    Mutation("grids: points over those that are still tried", "weights/grid_encode.cu", "        __syncthreads();\n        load_points<P, THREADS>(plane, tile, point, k, n);\n",
             "        load_points<P, THREADS>(plane, tile, point, k, n);\n", [], "quantize_kernels"),
    Mutation("parts: weights that changed stay as they were rounded", "product/bf16.cu", "    s->n = n;\n    to_bf16_cuda(s->rounded, w, n);\n",
             "    if (s->n != n) to_bf16_cuda(s->rounded, w, n);\n    s->n = n;\n", [], "core/bf16"),
    Mutation("parts: the stream is forgotten", "product/bf16.cu", "rest = { true, false, true, stream,", "rest = { true, false, false, stream,", [], "core/bf16"),
    Mutation("parts: keys by the gains of queries", "product/bf16.cu", "norm_rotate_bf16(qkv + q, all, a->k_gain,", "norm_rotate_bf16(qkv + q, all, a->q_gain,", [], "core/bf16"),
    Mutation("product: rows of the output as wide as they are written", "product/matmul.cu", "product.ld = p->out_stride,", "product.ld = p->N,", [], "products"),
    Mutation("product: the halves forget the first", "product/matmul.cu", "second = { false, false, half > 0,", "second = { false, false, false,", [], "products"),
    Mutation("product: sequences side by side as wide as they are written", "product/matmul.cu", "product.stride = length * p->out_stride;",
             "product.stride = length * p->N;", [], "products"),
    Mutation("gradients: sequences are not added up", "product/matmul.cu", "        add = true;\n", "", [], "gradients"),
    Mutation("gradients: a slice of a long sum left out", "product/matmul.cu", "for (int s = 0; s < n; s++) sum += (float)part",
             "for (int s = 1; s < n; s++) sum += (float)part", [], "gradients"),
    Mutation("forms: a shorter group's mean over a whole one", "loss/group_scales.cu", "squares / (double)n)", "squares / (double)group)", [], "forms"),
    Mutation("forms: the scale of the next group", "loss/forms.cu", "+ c / (unsigned)s.group]", "+ (c + 1) / (unsigned)s.group]", [], "forms"),
    Mutation("forms: the matrix of another sequence", "loss/forms.cu", "+ b * input->stride[matrix] +", "+", [], "forms"),
]


def mutate(number, mutation):
    """The folder of a mutation, with its source; exits where the text does not occur exactly once."""
    with open(ROOT + mutation.file) as f:
        source = f.read()
    if source.count(mutation.text) != 1:
        sys.exit(f"mutations.py: {mutation.name}: the text occurs {source.count(mutation.text)} times in {mutation.file}, not once")
    folder = f"{os.environ['MUTATIONS_BUILD']}/{number}"
    os.makedirs(os.path.dirname(f"{folder}/{ROOT}{mutation.file}"), exist_ok=True)
    with open(f"{folder}/{ROOT}{mutation.file}", "w") as f:
        f.write(source.replace(mutation.text, mutation.replacement))
    return folder


def build(folder, mutation):
    """The test's binary with the mutated objects; the first of two equal definitions in the order of linking counts."""
    objects = []
    for source in mutation.sources or [mutation.file]:
        mutated = f"{folder}/{ROOT}{source}"
        objects.append(f"{folder}/{source.replace('/', '-')}.o")
        subprocess.run([*os.environ["MUTATIONS_CXX"].split(), f"-I{folder}", "-I.", "-c", "-o", objects[-1],
                        mutated if os.path.exists(mutated) else ROOT + source], check=True)
    folder_of_tests, _, name = ("kernels/" + split(mutation.test)[0]).rpartition("/")
    tests = folder_of_tests.split("/")[-1] + "/tests"
    binary = f"{folder}/test_{name}"
    build_folder = os.path.dirname(os.environ["MUTATIONS_BUILD"])
    subprocess.run([*os.environ["MUTATIONS_LINK"].split(), "-o", binary, f"{build_folder}/obj/{tests}/test_{name}.c.o", *objects,
                    f"{build_folder}/core.a", f"{build_folder}/shim.a", *os.environ["MUTATIONS_LIBS"].split()], check=True)
    return binary


def passes(binary, aligned):
    """Whether the test ends well; its first complaint is enough to know that it does not."""
    environment = dict(os.environ, LINEARITY_KERNELS="cuda", OMP_NUM_THREADS="1", **({"LINEARITY_ALIGNED": "1"} if aligned else {}))
    with subprocess.Popen([binary], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as test:
        late = threading.Event()
        timer = threading.Timer(LIMIT, lambda: (late.set(), test.kill()))
        timer.start()
        for line in test.stderr:
            if line.startswith("shim: ") or "(LINEARITY_SEED=" in line or "FAILED" in line:
                test.kill()
                break
        status = test.wait()
        timer.cancel()
    if late.is_set():
        sys.exit(f"mutations.py: {binary} took more than {LIMIT} s, which tells nothing")
    return status == 0


def split(test):
    name, _, aligned = test.partition(" ")
    return name, aligned == "aligned"


def try_mutation(number, mutation):
    start = time.time()
    _, aligned = split(mutation.test)
    survived = passes(build(mutate(number, mutation), mutation), aligned)
    return f"{'SURVIVED' if survived else 'noticed '} {time.time() - start:5.1f} s  test_{mutation.test}: {mutation.name}", survived


def main():
    chosen = [m for m in MUTATIONS if len(sys.argv) < 2 or any(word in m.name for word in sys.argv[1:])]
    failed = False
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(try_mutation, MUTATIONS.index(m), m) for m in chosen]
        for job in jobs:
            line, wrong = job.result()
            failed |= wrong
            print(line, flush=True)
    print(f"{len(chosen)} mutations")
    sys.exit(failed)


if __name__ == "__main__":
    main()
