"""`mnist-idx`, in any version of the package: `python command.py ARGUMENTS …`."""

import sys

from mnist_idx.tools.cli import main

sys.exit(main(sys.argv[1:]))
