"""``python -m docs.generate`` brings the generated parts up to date."""

import sys

from docs.generate import write

for path in write():
    sys.stdout.write(f"{path.name} is new\n")
