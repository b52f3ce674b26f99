"""Run the command line as ``python -m autolabel``."""

from autolabel.cli.app import main

main()
