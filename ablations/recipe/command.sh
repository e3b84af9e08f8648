#!/bin/sh
# Every recorded trial again; --graph, --stage, --arm, --seed choose some, --hops 1 or 2 propagates.
OMP_NUM_THREADS=1 python ablations/replay.py ablations/recipe/rows.jsonl "$@"
