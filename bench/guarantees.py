"""What each contender guarantees, beside whose figure it stands: read in its documentation and its
source, at the versions that the extra `bench` pins.
"""

NOTES = {
    "a": "A record that is larger than the file object's buffer (4 to 128 kB, depending on the"
    " Python and the file system) takes several writes, and another process's may come between."
    " Python's documentation calls several processes unsupported: [logging cookbook, Logging to a"
    " single file from multiple processes]"
    "(https://docs.python.org/3/howto/logging-cookbook.html"
    "#logging-to-a-single-file-from-multiple-processes).",
    "b": "What a returned call has logged stays. The fragment of a writer that was killed in the"
    " middle of a record stays too, and the next record is glued to it.",
    "c": "As b; and a process that is killed in the middle of a rollover may leave a file"
    " `….rotate.…`, whose records are in none of the backups.",
    "d": "One process only. Several rename each other's files, and write on into backups.",
    "e": "A process that is killed while it puts a record into the pipe, or holds the pipe's lock,"
    " keeps the others waiting for good: after 4 of 20 kills, with 4 processes that log records of"
    " 2 kB without a pause.",
    "f": "As e; and records wait in each process until a thread has put them into the pipe, so that"
    " what a returned call has logged is lost with its process.",
    "g": "Rotation is left to the one process that writes.",
    "h": "Records in the queue are lost with the process.",
    "i": "A moved or deleted file is noticed within a second and opened anew, by every process.",
    "j": "When a call has returned, its record is in the kernel's socket buffer; it is lost if the"
    " parent is killed before it has read it.",
    "k": "Two threads that log into one handler hang, in each of 4 tries: it waits for the"
    " handler's lock and keeps the GIL, which the lock's holder waits for.",
}

# Of a contender whose name begins so: several processes may write to one file, a writer may be
# killed, the file rotates while others write.
GUARANTEES = {
    "logging.FileHandler": ("no (a)", "part (b)", "no"),
    "logging.NullHandler": ("", "", ""),
    "logging RotatingFileHandler": ("no (a)", "part (b)", "no (d)"),
    "logging TimedRotatingFileHandler": ("no (a)", "part (b)", "no (d)"),
    "logging QueueHandler": ("as its sink", "no (h)", "as its sink"),
    "logging QueueHandler, multiprocessing.Queue": ("yes", "no (f)", "yes (g)"),
    "picologging.FileHandler": ("no, nor threads (a, k)", "part (b)", "no"),
    "loguru": ("no (a)", "part (b)", "no (d)"),
    "loguru, enqueue=True": ("yes", "no (e)", "yes (g)"),
    "concurrent-log-handler": ("yes", "part (c)", "yes"),
    "threadlog FileHandler": ("yes", "yes", "part (i)"),
    "threadlog RotatingFileHandler": ("yes", "yes", "yes"),
    "threadlog TimedRotatingFileHandler": ("yes", "yes", "yes"),
    "threadlog QueueHandler": ("as its sink", "no (h)", "as its sink"),
    "threadlog, to the parent": ("yes", "yes (j)", "yes (g)"),
}


def guarantees(contender: str) -> tuple[str, str, str]:
    """Of the longest name that *contender* begins with; empty where there is nothing to say."""
    found = max((name for name in GUARANTEES if contender.startswith(name)), key=len, default="")
    return GUARANTEES.get(found, ("", "", ""))
