"""`python -m borough` is the `borough` command."""

import sys

from borough.cli import main

sys.exit(main())
