"""``python -m weft.cli``: the same as the command ``weft``."""

import sys

from . import main

sys.exit(main())
