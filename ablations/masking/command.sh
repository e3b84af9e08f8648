#!/bin/sh
# From the root of the project; two workers of one thread on two cores. Run again, it continues.
nodejepa-ext ablate --arms ablations/masking/card.toml --seeds 10 --out ablations/masking/card
nodejepa-ext ablate --arms ablations/masking/card.toml --graphs pubmed --seeds 3 --out ablations/masking/card-pubmed
nodejepa-ext ablate --arms ablations/masking/best.toml --preset best --config ablations/archive/table/best.toml --seeds 10 --out ablations/masking/best
nodejepa-ext ablate --arms ablations/masking/best.toml --preset best --config ablations/archive/table/best.toml --graphs pubmed --seeds 3 --out ablations/masking/best-pubmed
