"""What holds for every test."""

from __future__ import annotations

import signal

# Who is started in the background by a shell ignores Ctrl-C, and so would all that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
