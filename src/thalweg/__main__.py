"""`python -m thalweg`: the command line."""

import sys

from thalweg.cli.main import main

sys.exit(main())
