"""The command line as it is, then the peak of its memory in MiB as the last line of standard error."""

import sys

from benchmarks.measuring import peak_mib
from sealwright.cli.main import main

if __name__ == "__main__":
    code = main(sys.argv[1:])
    print(peak_mib(), file=sys.stderr)
    sys.exit(code)
