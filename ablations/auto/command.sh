#!/bin/sh
# GRAPHS: a folder with amazon_photo, cora_ml, chameleon_filtered and actor as .npz of this project.
export OMP_NUM_THREADS=1
run() { python ablations/auto/measure.py --graphs "$1" --seeds "$2" >> ablations/auto/rows.jsonl; }
run "$GRAPHS/cora_ml.npz" 3
run "$GRAPHS/amazon_photo.npz,cora,citeseer,$GRAPHS/chameleon_filtered.npz,$GRAPHS/actor.npz,pubmed" 1
python ablations/auto/measure.py --table < ablations/auto/rows.jsonl
