"""Runs a process with a time limit: what it said, how long it took, the memory that it had, and whether it was killed on purpose.

Nothing here knows what is measured.
"""

import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path


class Failure(Exception):
    """A process that failed, ran too long, or said what can't be."""


class OutOfTime(Failure):
    """A process that ran longer than its limit."""


class Deadline:
    """A moment that work must end before."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return self.end - time.monotonic()

    def within(self, seconds):
        """The earlier of this one and one in `seconds`."""
        return Deadline(min(seconds, self.left()))


class CardMemory:
    """The greatest memory in use on the first card while it is watched, by nvidia-smi; None where that can't tell."""

    def __enter__(self):
        self.most, self.first, self.child = None, None, None
        command = ["nvidia-smi", "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--loop-ms=200"]
        try:
            self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        except OSError:
            return self
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        return self

    def read(self):
        for line in self.child.stdout:
            try:
                bytes_now = int(line) << 20
            except ValueError:
                continue
            self.first = bytes_now if self.first is None else self.first
            self.most = max(bytes_now, self.most or 0)

    def __exit__(self, *_):
        if self.child:
            self.child.kill()
            self.child.wait()


@dataclass
class Ran:
    """A process that ended as was wanted."""

    seconds: float
    #: Ended by SIGKILL, as was asked for.
    killed: bool
    output: str
    #: Objects of stderr's lines, for `--log-format json`.
    events: list = field(default_factory=list)
    #: Greatest memory of the process, and of the card beyond what was in use before; None where nobody tells.
    resident_bytes: int = 0
    card_bytes: int | None = None

    def last_json(self):
        lines = self.output.strip().splitlines()
        try:
            return json.loads(lines[-1])
        except (IndexError, ValueError):
            raise Failure(f"expected JSON in the last line of the output, got {lines[-1:]}") from None


def run(command, log, deadline, folder=None, environment=None, kill_when=None, accepted=(0,)):
    """Runs `command`; its output goes to `log`.out and `log`.err.

    - `kill_when`: asked again and again; when it says so, the process is killed. One that ends before is a failure
    - `accepted`: exit codes that are no failure
    """
    log = Path(log)
    if deadline.left() <= 0:
        raise OutOfTime("no time was left for it")
    out, err = log.with_suffix(".out"), log.with_suffix(".err")
    begun, killed = time.monotonic(), False
    with CardMemory() as card, open(out, "wb") as stdout, open(err, "wb") as stderr:
        child = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            while True:
                # `wait4` also tells the memory, of this process alone.
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    child.returncode = os.waitstatus_to_exitcode(status)
                    break
                if deadline.left() <= 0 or (kill_when and not killed and kill_when()):
                    killed = deadline.left() > 0
                    end(child)
                    if not killed:
                        os.waitpid(child.pid, 0)
                        child.returncode = -signal.SIGKILL
                        raise OutOfTime(f"ran longer than its limit of {time.monotonic() - begun:.0f} s: {tail(err)}")
                time.sleep(0.02)
        finally:
            # Whatever it started goes with it: workers of a DataLoader, say.
            end(child)
    seconds = time.monotonic() - begun
    if kill_when and not (killed and child.returncode == -signal.SIGKILL):
        raise Failure(f"ended after {seconds:.1f} s with exit code {child.returncode}, before it could be killed: {tail(err)}")
    if not kill_when and child.returncode not in accepted:
        raise Failure(f"exit code {child.returncode}: {tail(err)}")
    more = None if card.most is None else card.most - card.first
    return Ran(seconds, killed, out.read_text(errors="replace"), objects(err), usage.ru_maxrss * 1024, more)


def end(child):
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def tail(path):
    """What a process said last, for people: of events their messages."""
    lines = Path(path).read_text(errors="replace").strip().splitlines()
    said = []
    for line in lines[-200:]:
        try:
            event = json.loads(line)
        except ValueError:
            said.append(line)
            continue
        if event.get("event") == "message":
            said.append(f"{event['level']}: {event['message']}")
        elif event.get("error"):
            said.append(f"{event.get('stage', 'run')}: {event['error']}")
    return "\n".join(said)[-1500:] or "it said nothing"


def objects(path):
    found = []
    for line in Path(path).read_text(errors="replace").splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                pass
    return found
