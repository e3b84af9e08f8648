#!/bin/sh
# Every recorded trial again; --graph, --name, --seed choose some.
OMP_NUM_THREADS=1 python ablations/presets/replay.py "$@"
