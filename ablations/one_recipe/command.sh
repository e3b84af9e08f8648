#!/bin/sh
# FOLDER holds four graphs that are not part of this project, see measure.py. Rows that are there stay.
folder="${1:?folder of amazon_photo.npz, cora_ml.npz, chameleon_filtered.npz and actor.npz}"
measure() {
  OMP_NUM_THREADS=1 python ablations/one_recipe/measure.py "$folder" "$@"
}
small=cora,citeseer,cora_ml,chameleon
large=pubmed,photo,actor
measure recipe "$small,$large" 0,1
measure decorrelation "$small" 0,1 && measure decorrelation "$large" 0
measure length "$small" 0,1
measure masks "$small,pubmed" 0 && measure masks "$small" 1
measure neighbours "$small,pubmed" 0
for stage in transform "own features" width parts; do measure "$stage" "$small" 0; done
measure edges cora,citeseer 0,1
measure chosen "$small,pubmed,photo" 0
