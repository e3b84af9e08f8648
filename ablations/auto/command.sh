#!/bin/sh
# GRAPHS: a folder with amazon_photo, cora_ml, chameleon_filtered and actor as .npz of this project.
export OMP_NUM_THREADS=1
run() { python ablations/auto/measure.py --graphs "$@" >> ablations/auto/rows.jsonl; }
run "$GRAPHS/cora_ml.npz,cora,citeseer,$GRAPHS/chameleon_filtered.npz" --seeds 2
run "$GRAPHS/amazon_photo.npz" --seeds 3  # recorded of seeds 1 and 2: what is joined
run "$GRAPHS/actor.npz" --splits 1
run pubmed
python ablations/auto/table.py
