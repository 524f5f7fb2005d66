"""``python -m sealwright.cli``: the same as ``sealwright``, where its script is not on the path."""

import sys

from sealwright.cli.main import main

sys.exit(main())
