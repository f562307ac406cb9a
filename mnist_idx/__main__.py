"""`python -m mnist_idx` is `mnist-idx`."""

import sys

from .tools.cli import main

sys.exit(main())
