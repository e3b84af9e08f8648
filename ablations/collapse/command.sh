#!/bin/sh
# From the root of the project; two workers of one thread on two cores. Run again, it continues.
nodejepa-ext ablate --arms ablations/collapse/arms.toml --encoder gcn --hidden 256 --out-width 128 --eval-every 15 --out ablations/collapse
nodejepa-ext ablate --arms ablations/collapse/pubmed.toml --encoder gcn --hidden 256 --out-width 128 --eval-every 15 --graphs pubmed --seeds 3 --out ablations/collapse/pubmed
nodejepa-ext plot ablations/collapse
