"""The floor of every answer to a scan: a byte through a pty to a program that waits, and back."""

import os
import select
import socket
import subprocess
import sys
import time
import tty

ANSWER_BYTES = 300
"""About a view."""
_PROGRAM = """
import os, select, socket, sys
line, back = int(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
while select.select([line], [], []) and os.read(line, 64) != b"q":
    back.send(bytes(int(sys.argv[3])))
"""


class Echo:
    """A program that answers every byte at once. Stops at the end of the block."""

    def __enter__(self) -> "Echo":
        self._line, far = os.openpty()
        tty.setraw(far)
        self._answers, back = socket.socketpair()
        handles = (far, back.fileno())
        self._program = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *map(str, handles), str(ANSWER_BYTES)],
            pass_fds=handles,
        )
        os.close(far)
        back.close()
        self.measure()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._line, b"q")
        self._program.wait()
        os.close(self._line)
        self._answers.close()

    def measure(self) -> float:
        """Microseconds from the byte to the answer."""
        began = time.monotonic_ns()
        os.write(self._line, b"x")
        select.select([self._answers], [], [])
        if not self._answers.recv(ANSWER_BYTES):
            raise SystemExit("the program that answers has ended")
        return (time.monotonic_ns() - began) / 1000
