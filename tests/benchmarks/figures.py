"""What is measured. Of each figure, less is better."""

SECONDS = "seconds"
MEMORY = "MB of memory"  # of the largest process at its highest
CACHE = "MB in the cache"
FETCHED = "MB fetched"
REQUESTS = "requests"
FILES = "MB of files"
# How many records were read, which must be the same on all sides. It is compared, not shown.
RECORDS = "records"
