"""Time a function, without imports: `python timed.py MODULE FUNCTION ARGUMENTS [IMPORT …]`.

The arguments are JSON, and so is what is printed in the last line: figures by their names. A
function may return how many records it has read, or more figures of its own.
"""

import importlib
import json
import resource
import sys
import time

from figures import MEMORY, RECORDS, SECONDS
from process_memory import peak_memory, resident_memory


def peak_of_all() -> int:
    """Bytes of the largest process at its highest: of this one and those it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return max(peak_memory(), children)


def main() -> None:
    module, function, arguments, *imports = sys.argv[1:]
    work = getattr(importlib.import_module(module), function)
    for name in imports:
        importlib.import_module(name)
    options = json.loads(arguments)
    memory_of_imports = resident_memory()
    began = time.perf_counter()
    result = work(**options)
    seconds = time.perf_counter() - began
    figures = {SECONDS: seconds, MEMORY: (peak_of_all() - memory_of_imports) / 1e6}
    if isinstance(result, int):
        figures[RECORDS] = result
    elif result is not None:
        figures |= result
    print(f"\n{json.dumps(figures)}")


if __name__ == "__main__":
    main()
