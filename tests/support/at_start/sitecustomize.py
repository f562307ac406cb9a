"""What each process of a pasted program does first; Python imports this if it is on the path."""

import multiprocessing

from run_program import describe_stand_in

# As macOS and Windows do: a new process begins with nothing but the file that was started.
multiprocessing.set_start_method("spawn", force=True)
describe_stand_in()
