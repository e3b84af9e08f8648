#!/bin/sh
# The pairs again, to results/precision; one thread a row.
nodejepa-ext ablate --vary precision=bf16,fp32 --preset best --config ablations/archive/table/best.toml --graphs cora --seeds 10 --first-seed 10 --out results/precision
