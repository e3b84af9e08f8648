#!/bin/sh
# From the root of the project; two workers of one thread on two cores. Run again, it continues.
nodejepa-ext ablate --arms ablations/collapse/arms.toml --seeds 10 --out ablations/collapse
nodejepa-ext ablate --arms ablations/collapse/pubmed.toml --graphs pubmed --seeds 3 --out ablations/collapse/pubmed
nodejepa-ext plot ablations/collapse
