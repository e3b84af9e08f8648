"""The program `nodejepa-ext`, also as `python -m nodejepa_ext`.

Apart from commands, which takes a moment to import: an interrupt in that moment ends it in a
sentence too.
"""

import sys

from nodejepa_ext.interrupts import guard


def main() -> None:
    """Exits 0; 1 failed; 2 usage; 3 data; 130 interrupted; others as each verb's --help says."""
    guard()
    try:
        from nodejepa_ext.commands import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("nodejepa-ext: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
