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
measure later cora,citeseer 0 && measure later citeseer,cora 1
measure linear "$small" 0,4000,4001,4002,4003,4004 "as it is" && measure linear "$small" 0
measure linear photo,actor 0,4000,4001,4002 "as it is" && measure linear pubmed 0 "as it is"
measure linear photo,actor 0 "hidden 0;output 1024"
measure bgrl cora,citeseer 0 && measure bgrl cora_ml 0
measure jepa cora_ml,chameleon,photo,actor 4000,4001,4002 && measure jepa pubmed 4000,4001
OMP_NUM_THREADS=1 python ablations/one_recipe/bars.py "$folder"
