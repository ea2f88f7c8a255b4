"""`python -m cwschannel`: the command line."""

import sys

from cwschannel.cli import main

if __name__ == "__main__":  # the demo's server process imports this module again under another name
    sys.exit(main())
