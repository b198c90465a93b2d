"""`python -m borough` is the `borough` command."""

import sys

from borough_command import main

sys.exit(main())
