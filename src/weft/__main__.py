"""``python -m weft``: the same as the command ``weft``."""

import sys

from .cli import main

sys.exit(main())
