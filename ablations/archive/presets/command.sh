#!/bin/sh
# Every recorded trial again; --graph, --arm, --seed choose some.
OMP_NUM_THREADS=1 python ablations/replay.py ablations/archive/presets/rows.jsonl "$@"
