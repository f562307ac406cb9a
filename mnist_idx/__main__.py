"""`python -m mnist_idx` is the command line."""

from .cli import main

raise SystemExit(main())
