"""report.py - what nvcc makes of every kernel: registers, shared memory, spills, and how much of a multiprocessor it fills

    report.py OUT.csv TRAFFIC.csv SOURCE.cu...     (environment: NVCC, NVCC_FLAGS, NVCC_ARCHS)

Registers, static shared memory and spills are ptxas' own words for each architecture; threads and dynamic shared memory are the source's where it says them once, otherwise those of the
launch that the shim saw (TRAFFIC.csv, of test_traffic), or the launch bounds where it saw none.  Occupancy follows from the limits
of the compute capabilities in the CUDA programming guide.  Exits with 1 where a kernel spills registers.
"""
import concurrent.futures
import csv
import os
import re
import subprocess
import sys

# Threads, blocks, and shared memory of a multiprocessor; 64 Ki registers in four parts, given to a warp by 256; the system takes 1 KiB of
# shared memory for each block, which is given by 128 bytes.
LIMITS = {"80": (2048, 32, 164 * 1024), "90": (2048, 32, 228 * 1024), "100": (2048, 32, 228 * 1024), "120": (1536, 24, 100 * 1024)}
PARTS, PART_REGISTERS = 4, 16384


def up(n, unit):
    return (n + unit - 1) // unit * unit


def blocks_per_multiprocessor(arch, registers, shared, threads):
    most_threads, most_blocks, most_shared = LIMITS[arch]
    warps = up(threads, 32) // 32
    by_registers = PART_REGISTERS // up(registers * 32, 256) * PARTS // warps
    return min(most_blocks, most_threads // (warps * 32), by_registers, most_shared // up(shared + 1024, 128))


def plain(name):
    """Without return type, arguments and namespaces, as the shim prints it."""
    name = re.sub(r"\(anonymous namespace\)::|\(int\)|\(bool\)", "", name).replace("__nv_bfloat16", "bf16")
    name = name[5:] if name.startswith("void ") else name
    depth = 0
    for i, c in enumerate(name):
        depth += (c == "<") - (c == ">")
        if c == "(" and depth == 0:
            return name[:i]
    return name


def demangled(names):
    return subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout.split("\n")


def compiled(source, arch):
    """[(mangled name, registers, static shared, stack, spill stores + loads)], {mangled name: launch bound}"""
    flags = os.environ["NVCC_FLAGS"].split() + os.environ.get("NVCC_FLAGS_" + os.path.basename(source)[:-3], "").split()
    command = [os.environ["NVCC"], *flags, f"-arch=sm_{arch}"]
    said = subprocess.run([*command, "-Xptxas", "-v", "-cubin", "-o", os.devnull, source], capture_output=True, text=True, check=True).stderr
    kernels, name, stack, spills = [], None, 0, 0
    for line in said.split("\n"):
        if entry := re.search(r"Compiling entry function '(\w+)'", line):
            name, stack, spills = entry[1], 0, 0
        elif frame := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            stack, spills = stack + int(frame[1]), spills + int(frame[2]) + int(frame[3])
        elif (used := re.search(r"Used (\d+) registers", line)) and name:
            shared = re.search(r"(\d+) bytes smem", line)
            kernels.append((name, int(used[1]), int(shared[1]) if shared else 0, stack, spills))
            name = None
    if arch != os.environ["NVCC_ARCHS"].split()[0]:
        return kernels, {}
    ptx = subprocess.run([*command, "-ptx", "-o", "-", source], capture_output=True, text=True, check=True).stdout
    bounds = re.findall(r"\.entry\s+(\w+)\s*\([^)]*\)\s*\.maxntid\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?", ptx)
    return kernels, {b[0]: int(b[1]) * int(b[2] or 1) * int(b[3] or 1) for b in bounds}


def launches(path):
    with open(path) as f:
        return {row["kernel"]: (int(row["threads"]), int(row["dynamic_shared"])) for row in csv.DictReader(f)}


def of_source(source):
    """Threads of a block where one number says them, and dynamic shared memory: 0 where a source asks for none, otherwise not known from it."""
    with open(source) as f:
        text = f.read()
    threads = set(re.findall(r"\b[A-Z_]*THREADS = (\d+)", text))
    return int(threads.pop()) if len(threads) == 1 else None, None if "DYNAMIC_SHARED" in text else 0


def main():
    out, traffic, *sources = sys.argv[1:]
    seen, archs, spilled = launches(traffic), os.environ["NVCC_ARCHS"].split(), 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(source, arch, pool.submit(compiled, source, arch)) for source in sources for arch in archs]
        results = [(source, arch, job.result()) for source, arch, job in jobs]
    bounds = {name: n for _, _, (_, each) in results for name, n in each.items()}
    with open(out, "w", newline="") as f:
        table = csv.writer(f, lineterminator="\n")
        table.writerow("source kernel arch registers static_shared dynamic_shared threads stack_bytes spill_bytes blocks_per_sm occupancy".split())
        for source, arch, (kernels, _) in results:
            usual_threads, usual_dynamic = of_source(source)
            for kernel, name in zip(kernels, demangled([k[0] for k in kernels])):
                mangled, registers, static, stack, spills = kernel
                threads, dynamic = seen.get(plain(name), (bounds.get(mangled) or usual_threads, usual_dynamic))
                blocks = blocks_per_multiprocessor(arch, registers, static + (dynamic or 0), threads) if threads and dynamic is not None else ""
                table.writerow([os.path.basename(source), plain(name), f"sm_{arch}", registers, static, "" if dynamic is None else dynamic, threads or "",
                                stack, spills, blocks, f"{blocks * up(threads, 32) / LIMITS[arch][0]:.3f}" if blocks != "" else ""])
                if spills:
                    spilled += 1
                    print(f"{source}: {plain(name)} spills {spills} bytes on sm_{arch}", file=sys.stderr)
    sys.exit(spilled > 0)


if __name__ == "__main__":
    main()
