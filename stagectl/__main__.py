"""`python -m stagectl` is the `stagectl` command."""

from stagectl.cli import main

main()
