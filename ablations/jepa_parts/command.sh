#!/bin/sh
# From the root of the project; one worker of one thread. Run again, it continues.
nodejepa-ext ablate --dev --preset best --graphs cora,citeseer --seeds 5 --first-seed 4000 --threads 1 --workers 1 --arms ablations/jepa_parts/arms.toml --out ablations/jepa_parts
