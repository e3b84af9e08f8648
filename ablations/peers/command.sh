#!/bin/sh
# From the root of the project; one worker of one thread. Run again, it continues.
OMP_NUM_THREADS=1 nodejepa-ext compare cora citeseer pubmed --tasks linear,knn,cluster --first-seed 2000 --final --workers 1 \
  --methods ours,bgrl,cca-ssg,dgi,vgae,sgc,sgc-joined,untrained-joined,fastrp,raw,fastrp-raw --out ablations/peers
