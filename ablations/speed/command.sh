#!/bin/sh
# On one core, with graphssl installed for its row; minutes.
nodejepa-ext bench --steps 6 --rounds 3 --json > ablations/speed/bench.json
