"""Stands where a shell would: leads the session of a terminal, and runs one command in front.

``python leader.py REPORT HOLD COMMAND...``: the terminal is standard input. On REPORT (a file
descriptor) come the process of the command and how it ended; then this waits until HOLD is closed,
so that the terminal can still be looked at. Standard library alone, since it starts for each trial.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import termios


def main(report: int, hold: int, command: list[str]) -> None:
    """See the module."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        os.close(report)
        os.close(hold)
        os.execvp(command[0], command)
    os.write(report, f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    os.write(report, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os.read(hold, 1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
