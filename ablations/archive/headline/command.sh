#!/bin/sh
# What was trained, again (validation accuracy); --graph, --arm, --seed choose some.
OMP_NUM_THREADS=1 python ablations/replay.py ablations/archive/headline/rows.jsonl "$@"
