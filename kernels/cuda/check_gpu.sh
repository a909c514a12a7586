#!/bin/sh
# check_gpu.sh - everything that is checked without a GPU, once more on one; called by make check-gpu
#
#     check_gpu.sh BUILD [MODEL]      BUILD holds linearity and gpu-tests/; MODEL is the default model, or left out
#
# Every kernel against ref (eight tests at a time), the goldens of the tiny models, the default model end to end against the CPU.  Fails at the
# end if anything failed; refuses to start without a GPU.
build=$1 model=$2 failed=
say() { echo "== $*"; }
fail() { echo "FAILED: $*"; failed=1; }

"$build/linearity" bench --shape tiny --context 64 --windows 1 --repeats 1 --backend cuda --forward-only >/dev/null || { echo "check-gpu needs an NVIDIA GPU"; exit 1; }
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader

export LINEARITY_KERNELS=cuda LINEARITY_BINARY="$build/linearity" OMP_WAIT_POLICY=passive
# Outputs in the kernels' tests are aligned as floats are; the second time, as vectors are.
run_test() { timeout 300 "$1" >"$1.log" 2>&1 && case $1 in */kernels/*) LINEARITY_ALIGNED=1 LINEARITY_SEED=2 timeout 300 "$1" >"$1.log" 2>&1;; esac; echo $? >"$1.rc"; }
jobs=0
for t in $(ls "$build"/gpu-tests/*/tests/test_* | grep -v '\.log$\|\.rc$'); do
    run_test "$t" &
    jobs=$((jobs + 1))
    [ $((jobs % 8)) = 0 ] && wait
done
wait
for t in "$build"/gpu-tests/*/tests/test_*.rc; do
    t=${t%.rc}
    if [ "$(cat "$t.rc")" = 0 ]; then say "$(basename "$t"): $(grep -c '\[       OK' "$t.log") passed"
    else fail "$t (exit status $(cat "$t.rc"))"; grep -v '^\[ RUN\|^\[       OK' "$t.log" | head -12; fi
done

# Numbers of two JSON objects, by name; fails where they are further apart than the bound.
near() {        # what, name, bound, one file, another
    python3 - "$@" <<'PY' || fail "$1: $2"
import json, sys
what, name, bound, a, b = sys.argv[1:]
x, y = (json.load(open(f))[name] for f in (a, b))
off = abs(x - y)
print(f"   {what}: {name} {x:.9g} on the CPU, {y:.9g} on the GPU, {off:.3g} apart (bound {float(bound):.3g})")
sys.exit(not off <= float(bound))
PY
}

alphas() {      # the coefficients of two runs: the largest relative difference
    python3 - "$@" <<'PY' || fail "alpha"
import json, sys
a, b = (json.load(open(f))["layers"] for f in sys.argv[2:])
worst = max(abs(x["alpha"] - y["alpha"]) / abs(x["alpha"]) for x, y in zip(a, b))
print(f"   {len(a)} coefficients: at most {worst:.3g} of themselves apart (bound {sys.argv[1]})")
sys.exit(not worst <= float(sys.argv[1]))
PY
}

if [ -n "$model" ] && [ -e "$model" ]; then
    say "$(basename "$model"): CPU against GPU"
    dir=$(mktemp -d)
    seq 1 6000 | awk '{ printf "%s%d", NR % 400 == 1 ? (NR > 1 ? "\n" : "") : " ", ($1 * 7919 + $1 * $1 * 104729) % 49152 }' >"$dir/ids.ids"
    for b in cpu cuda; do "$build/linearity" ppl "$model" "$dir/ids.ids" --backend $b --json --quiet >"$dir/ppl.$b" || fail "ppl on $b"; done
    near "float32" nll 2e-5 "$dir/ppl.cpu" "$dir/ppl.cuda"
    "$build/linearity" ppl "$model" "$dir/ids.ids" --backend cuda --precision bf16 --json --quiet >"$dir/ppl.bf16" || fail "ppl in bf16"
    near "bf16" nll 2e-2 "$dir/ppl.cpu" "$dir/ppl.bf16"
    for b in cpu cuda; do
        "$build/linearity" alpha "$model" "$dir/ids.ids" --backend $b --windows 3 --json --quiet >"$dir/alpha.$b" || fail "alpha on $b"
    done
    alphas 2e-3 "$dir/alpha.cpu" "$dir/alpha.cuda"
    rm -rf "$dir"
else
    say "the default model is not there (make model): its comparison with the CPU is left out"
fi

[ -z "$failed" ] && echo "check-gpu: all passed" || { echo "check-gpu: something failed"; exit 1; }
