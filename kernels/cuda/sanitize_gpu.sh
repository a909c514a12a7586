#!/bin/sh
# sanitize_gpu.sh - the tiny models under compute-sanitizer, forward and backward; the last part of make check-gpu
#
#     sanitize_gpu.sh BUILD [SECONDS]     at most so many seconds (300) for each tool
#
# memcheck has to finish.  racecheck, which slows kernels with much shared memory down a thousand times, may be stopped by the clock: it
# fails where it found something until then.  What is left of a stopped run is ended, since it would go on using the GPU.
build=$1 seconds=${2:-300}
test="$build/gpu-tests/core/tests/test_bf16"
PATH=$PATH:$(dirname "$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)")
if ! command -v compute-sanitizer >/dev/null; then echo "== compute-sanitizer is not there and left out"; exit 0; fi

for tool in memcheck racecheck; do
    echo "== compute-sanitizer, $tool: tiny models in bf16, forward and backward"
    timeout -k 10 "$seconds" compute-sanitizer --tool $tool --error-exitcode 9 "$test" >"$build/$tool.log" 2>&1
    status=$?
    pkill -f "$test"
    if [ $status = 0 ]; then grep 'SUMMARY' "$build/$tool.log" | head -1
    elif [ $tool = racecheck ] && { [ $status = 124 ] || [ $status = 137 ]; } && ! grep -q 'hazard' "$build/$tool.log"; then
        echo "   stopped after $seconds seconds without a finding; $(grep -c '\[       OK' "$build/$tool.log") of its tests were through"
    else echo "FAILED: compute-sanitizer $tool (exit status $status)"; tail -15 "$build/$tool.log"; exit 1
    fi
done
