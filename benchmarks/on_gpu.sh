#!/bin/sh
# What a machine with an NVIDIA GPU is asked: the tests marked gpu, with every configuration of every kernel; the share
# of the roofline that each kernel reaches, beside peers where they are installed; then a short training on simulated
# data, CPU beside GPU. Runs from the repository's root with nothing installed: PYTHONPATH=.typing. Results go to $OUT.
# All parts run, whatever the ones before say; the exit status is that of the first that failed.
set -u
OUT=${OUT:-benchmarks/results}
PYTHON=${PYTHON:-python3}
export PYTHONPATH=".typing${PYTHONPATH:+:$PYTHONPATH}"
status=0
note() { [ "$status" -ne 0 ] || status=$1; }
"$PYTHON" -m pytest -m gpu -p no:cacheprovider -q >"$OUT/gpu_tests.txt" 2>&1 || note $?
tail -n 40 "$OUT/gpu_tests.txt"
"$PYTHON" benchmarks/gpu_ops.py --out "$OUT/gpu_ops.json" || note $?
"$PYTHON" benchmarks/gpu_training.py --out "$OUT/gpu_training.json" || note $?
exit "$status"
