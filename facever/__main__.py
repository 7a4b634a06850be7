"""`python -m facever` is `facever`."""

from facever.cli import main

main()
