#!/bin/sh
# run_test.sh - runs one test and prints what it said in one piece, since several run at a time
#
#     run_test.sh plain|cuda|random TEST      cuda: kernels through the launch shim; random: with threads in random order and aligned outputs
how=$1 test=$2 log=$2.$1.log
case $how in
cuda) export LINEARITY_KERNELS=cuda ;;
random) export LINEARITY_KERNELS=cuda LINEARITY_ALIGNED=1 LINEARITY_SHIM_ORDER=random LINEARITY_SEED=2 ;;
esac
"$test" >"$log" 2>&1
status=$?
name=$test
[ "$how" = cuda ] && name="$test, cuda through the launch shim"
[ "$how" = random ] && name="$test, cuda, random order of threads, aligned outputs"
{ echo "== $name"; if [ $status != 0 ] || [ "$how" != random ]; then cat "$log"; fi; } >"$log.shown"
flock "$(dirname "$0")" cat "$log.shown"
[ $status = 0 ] || { echo "$name" >>"$LINEARITY_FAILED"; exit 1; }
