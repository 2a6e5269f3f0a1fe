"""Nurseries that begin with everything imported: forked, for the tests, off one process that has.

Importing takes a nursery about four seconds, as much as the rest of some diagnoses, and there are
dozens of them here. But for that, the nurseries are what they always are: processes of their own,
in sessions of their own, spoken to through pipes, each with the environment that the runner wants.
How a nursery is started by the runner itself is tested with the trials and the command line.
"""

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback

from thalweg.trials import nursery, runner
from thalweg.trials.runner import Runner

# What the scripts import, and what stands around them in a trial.
IMPORTED = [
    "sklearn.datasets",
    "sklearn.model_selection",
    "sklearn.preprocessing",
    "torch.utils.data",
    "thalweg.doctor.instruments",
]
LONGEST = 1 << 18  # bytes of a request: the environment is in it


class Forked:
    """A nursery as the runner knows processes; as it is no child of this one, by a descriptor.

    Attributes:
        pid: Its id.
    """

    def __init__(self, pid):
        self.pid = pid
        self.handle = os.pidfd_open(pid)  # can be read from once the process is gone

    def __del__(self):
        os.close(self.handle)

    def wait(self, timeout=None):
        """Until it is gone, or as ``subprocess`` does, ``TimeoutExpired``."""
        if not select.select([self.handle], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("nursery", timeout)

    def kill(self):
        """At once."""
        signal.pidfd_send_signal(self.handle, signal.SIGKILL)


class Template:
    """The process that has imported, and forks a nursery on request.

    Attributes:
        import_seconds: How long importing took.
    """

    def __init__(self):
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=runner._environment(runner.cores()),
        )
        theirs.close()
        self.import_seconds = self._answer()

    def _answer(self):
        return json.loads(self.channel.recv(LONGEST))

    def start(self, one: Runner, bare: bool):
        """A nursery of a runner: in place of ``Runner._start``."""
        (their_requests, requests), (replies, their_replies) = os.pipe(), os.pipe()
        words = [] if bare else [str(one.script.absolute())]
        environment = runner._environment(one.jobs)
        request = {"words": words, "folder": os.getcwd(), "environment": environment}
        with open(one.folder / "nursery.txt", "ab") as errors:
            theirs = [their_requests, their_replies, errors.fileno()]
            socket.send_fds(self.channel, [json.dumps(request).encode()], theirs)
        os.close(their_requests)
        os.close(their_replies)
        pipes = os.fdopen(requests, "wb"), os.fdopen(replies, "rb")
        return runner._Channel(Forked(self._answer()), *pipes, bare)

    def close(self):
        """End it; it ends when it is no longer spoken to."""
        self.channel.close()
        self.process.wait()


# In the template's own process.


def main():
    channel = socket.socket(fileno=int(sys.argv[1]))
    if not sys.flags.safe_path:
        del sys.path[0]  # this folder
    started = time.monotonic()
    for module, attribute in [*nursery._ALWAYS, *((name, "") for name in IMPORTED)]:
        nursery._import(module, attribute)
    gc.collect()
    gc.freeze()
    channel.send(json.dumps(time.monotonic() - started).encode())
    serve(channel)


def serve(channel):
    """Fork a nursery for each request, until there is nobody to ask for one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever ends is gone at once
    while True:
        request, places, *_ = socket.recv_fds(channel, LONGEST, 3)
        if not request:
            return
        pid = os.fork()
        if pid == 0:
            channel.close()
            become_a_nursery(places, **json.loads(request))
        for place in places:
            os.close(place)
        channel.send(json.dumps(pid).encode())


def become_a_nursery(places, words, folder, environment):
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for place, standard in zip(places, (0, 1, 2), strict=True):
            os.dup2(place, standard)
            os.close(place)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[1:] = words
        nursery.main()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
