"""`python -m nodejepa_ext`: the same program as `nodejepa-ext`."""

from nodejepa_ext.commands import main

if __name__ == "__main__":
    main()
