"""`python -m threadlog`."""

import sys

from threadlog.cli import main

if __name__ == "__main__":
    sys.exit(main())
