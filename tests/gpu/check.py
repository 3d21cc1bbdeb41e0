#!/usr/bin/env python3
"""The parts of the check, one after the other: each has its own time, and one that fails takes no other down. Started by check.sh.

After each part everything that is known is written to `gpu.json` in the folder of results; in the end a table is printed, and written to
`gpu.md`. This process loads neither PyTorch nor libtorch: all work is done by others that can be killed.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from pipelines import digits, measured
from program import Deadline, Failure, OutOfTime, run
from sizes import SIZES
from table import table

HERE = Path(__file__).resolve().parent
#: The version that the programs are made for.
TORCH = "2.11.0"
#: Multiply-adds of a step in those of the network's forward pass: the gradients of weights and of inputs are one each. MoCo's key is one more.
PASSES = {"encode": 1, "distill": 3, "pretrain": 4}


#: What must hold, by part. What does not hold, or could not be seen to, makes the check fail; a measurement without time does not.
PROOFS = {"digits": ["twice", "tolerance"], "distill": ["resume"], "pretrain": ["resume"]}


class Skipped(Exception):
    """A part that can't be done here, and why."""


class Check:
    def __init__(self, arguments):
        self.sizes = SIZES[arguments.size]
        self.programs, self.out = arguments.programs.resolve(), arguments.out.resolve()
        self.repository = arguments.repository.resolve()
        self.logs = self.out / "logs"
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.deadline = Deadline(self.sizes.total)
        self.begun = time.monotonic()
        self.library = {}
        self.found = {"version": 1, "size": arguments.size, "device": self.sizes.device, "machine": {}, "parts": {}}

    # What is run.

    def seedpipe(self, folder, words, log, deadline, environment=None, **more):
        command = [self.programs / "seedpipe", "--pipeline", folder, "--log-format", "json", *words]
        environment = {**self.library, **(environment or {})}
        return run(command, self.logs / log, deadline, folder, environment, **more)

    def stage(self, stage, log, deadline, *words, **more):
        """Runs a measured stage on the device, and what it needs before; its last event, with all of them."""
        words = ["run", stage, "--json", "--device", self.sizes.device, *words]
        ran = self.seedpipe(self.folder, words, log, deadline, self.sizes.device_environment, **more)
        return None if ran.killed else finished(ran, stage)

    def reference(self, words, log, deadline):
        if self.found["machine"]["modules"]["torch"].startswith("missing"):
            raise Skipped(f"{sys.executable} has no PyTorch")
        if words[0] != "peak" and self.found["machine"]["modules"]["torchvision"].startswith("missing"):
            raise Skipped(f"{sys.executable} has no torchvision")
        command = [sys.executable, HERE / "reference.py", *words]
        if words[0] != "about":
            command += ["--device", self.sizes.device, "--seconds", self.sizes.reference_seconds]
        ran = run(command, self.logs / log, deadline, environment=self.sizes.reference_environment)
        return {**ran.last_json(), "card_bytes": ran.card_bytes, "resident_bytes": ran.resident_bytes, "seconds": round(ran.seconds, 2)}

    # The machine.

    def machine(self):
        ran = run([sys.executable, HERE / "reference.py", "about"], self.logs / "about", self.deadline.within(60))
        machine = self.found["machine"] = {
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)),
            "load": round(os.getloadavg()[0], 2),
            **ran.last_json(),
        }
        for name, version in machine["modules"].items():
            if version.startswith("missing"):
                say(f"{name}: {version}")
        version = machine["modules"]["torch"].split("+")[0]
        if version == TORCH:
            self.library = {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, [machine["library"], os.environ.get("LD_LIBRARY_PATH")]))}
        try:
            machine["program"] = self.version("version")
        except Failure as failure:
            if self.sizes.device != "cpu" or not self.library:
                raise Failure(f"`seedpipe-torch` does not start on the libtorch of {sys.executable}: {failure}") from None
            say(f"`seedpipe-torch` does not start on the libtorch of {sys.executable}, the one that it was built with is taken: {failure}")
            self.library = {}
            machine["program"] = self.version("version_as_built")
        machine["libtorch"] = "PyTorch's" if self.library else "the one of the build"
        if self.sizes.device != "cpu" and not machine.get("cuda"):
            raise Failure("PyTorch finds no GPU here\nhint: SIZE=tiny runs the same on a CPU")

    def version(self, log):
        ran = run([self.programs / "seedpipe-torch", "--version"], self.logs / log, self.deadline.within(60), environment=self.library)
        return ran.output.strip()

    # The parts. Each fills `result`, so that what it found stays when it fails later.

    def pictures(self, result, deadline):
        sizes = self.sizes
        width, height = sizes.picture
        command = [sys.executable, HERE / "pictures.py", self.work / "pictures", "--count", sizes.pictures]
        command += ["--width", width, "--height", height, "--processes", max(1, len(os.sched_getaffinity(0)))]
        result.update(run(command, self.logs / "pictures", deadline).last_json())
        result.update(width=width, height=height)
        self.folder.mkdir()
        (self.folder / "pipeline.yaml").write_text(measured(self.work / "pictures", sizes))

    def digits(self, result, deadline):
        """The digits' pipeline on the CPU; on the device twice, apart from each other; and on the device what the CPU has stored."""
        sizes = self.sizes
        text = digits(self.repository, sizes)
        contents = {}
        for name in ["cpu", "first", "second"]:
            folder = self.work / f"digits-{name}"
            folder.mkdir()
            (folder / "pipeline.yaml").write_text(text)
            on_cpu = name == "cpu"
            words = ["run", *sizes.digits_stages, "--json", "--device", "cpu" if on_cpu else sizes.device]
            ran = self.seedpipe(folder, words, f"digits_{name}", deadline, {} if on_cpu else sizes.device_environment)
            contents[name] = {line["stage"]: line["content"] for line in map(json.loads, ran.output.splitlines())}
            result[f"seconds_{name}"] = round(ran.seconds, 2)
        differ = [stage for stage, content in contents["first"].items() if contents["second"].get(stage) != content]
        result["stages"] = len(contents["first"])
        result["twice"] = state(not differ and contents["first"].keys() == contents["second"].keys(), ", ".join(differ))
        as_on_cpu = [stage for stage, content in contents["first"].items() if contents["cpu"].get(stage) == content]
        result["stages_equal_to_the_cpus"] = len(as_on_cpu)
        words = ["verify", "--rerun", *sizes.digits_again, "--json", "--device", sizes.device]
        ran = self.seedpipe(
            self.work / "digits-cpu", words, "digits_verify", deadline, sizes.device_environment, accepted=(0, 1)
        )
        report = json.loads(ran.output)
        result["seconds_verify"] = round(ran.seconds, 2)
        result["classes"] = sorted({stage["numerics_now"] for stage in report["stages"] if stage["numerics_now"]})
        classes = {(stage["numerics"], stage["numerics_now"]) for stage in report["stages"] if stage["kind"] == "encode"}
        if any(stored == now for stored, now in classes):
            raise Failure(f"expected another numerics class than the stored one, got {classes}")
        verdicts = result["verdicts"] = {}
        worst = result["least_cosine"] = {}
        wrong = []
        for stage in report["stages"]:
            verdicts[stage["verdict"]] = verdicts.get(stage["verdict"], 0) + 1
            for name, output in stage["outputs"].items():
                cosine = output["comparison"].get("min_cosine")
                if output["kind"].startswith("embeddings") and cosine is not None:
                    worst[stage["stage"]] = round(cosine, 7)
                if output["verdict"] not in ("equal", "within"):
                    detail = (output["comparison"].get("worst") or {}).get("detail") or output["comparison"].get("structure")
                    wrong.append(f"{stage['stage']}.{name}: {output['verdict']}: {detail}")
            if stage["fault"]:
                wrong.append(f"{stage['stage']}: {stage['fault']}")
        result["tolerance"] = state(not wrong and bool(verdicts), "; ".join(wrong))

    def peak(self, result, deadline):
        words = ["peak", "--precisions", ",".join(self.precisions(self.sizes.encode_precisions)), "--sides", self.sizes.sides]
        result.update(self.reference(words, "peak", deadline))

    def encode(self, network, count, result, deadline):
        sizes = self.sizes
        ours = result["ours"] = {}
        for precision in sizes.encode_precisions:
            stage = f"{network.name}_{precision}"
            ours[precision] = figures(self.stage(stage, f"encode_{stage}", deadline), "views_per_second")
        self.beside(result, deadline, "encode", network, count, sizes.encode_precisions)

    def distill(self, result, deadline):
        sizes = self.sizes
        self.stage("targets", "distill_targets", deadline)
        self.trainings(result, deadline, "distill", sizes.distill_precisions)
        more = ["--queue", sizes.queue, "--dimension", sizes.dimension, "--hidden", sizes.hidden, "--teacher", sizes.teacher.name]
        self.beside(result, deadline, "distill", sizes.distill, sizes.distill_pictures, sizes.distill_precisions, more)

    def pretrain(self, result, deadline):
        sizes = self.sizes
        self.stage("pairs", "pretrain_pairs", deadline)
        self.trainings(result, deadline, "pretrain", sizes.pretrain_precisions)
        more = ["--queue", sizes.queue, "--dimension", sizes.dimension, "--hidden", sizes.hidden]
        self.beside(result, deadline, "pretrain", sizes.pretrain, sizes.pretrain_pictures, sizes.pretrain_precisions, more)

    def trainings(self, result, deadline, kind, precisions):
        """The first precision's is killed, goes on, and is made once more without a pause; the others' run once."""
        ours = result["ours"] = {}
        # Checkpoints are no part of the recipe; what is timed writes none.
        def timed(stage):
            return ["--set", f"{stage}.training.checkpoint_steps=1000000"]

        for precision in precisions:
            stage = f"{kind}_{precision}"
            if precision == precisions[0]:
                self.stage(stage, f"{stage}_killed", deadline, kill_when=self.has_checkpoint)
                went_on = self.stage(stage, f"{stage}_resumed", deadline)
                event = self.stage(stage, f"{stage}", deadline, "--force", *timed(stage))
                equal = went_on["content"] == event["content"]
                result["resume"] = {
                    **state(equal and went_on["resumed"] > 0, f"went on after {went_on['resumed']} images; contents {went_on['content']}, {event['content']}"),
                    "resumed_images": went_on["resumed"],
                }
            else:
                event = self.stage(stage, stage, deadline, *timed(stage))
            ours[precision] = figures(event, "images_per_second")
            ours[precision]["step_seconds"] = self.sizes.batch / ours[precision]["images_per_second"]
            for name in ["loss", "loss_scale"]:
                if name in event["measured"]:
                    ours[precision][name] = event["measured"][name]

    def has_checkpoint(self):
        return any((self.folder / "cache/v1/drafts").glob("**/checkpoints/step-*"))

    def precisions(self, ours):
        return self.sizes.reference_precisions or ours

    def beside(self, result, deadline, kind, network, count, precisions, more=()):
        """PyTorch's rates, the shares of the card's, and the ratios."""
        sizes = self.sizes
        words = [kind, network.name, self.work / "pictures", "--count", count, "--size", sizes.side, "--batch", sizes.batch]
        words += ["--workers", sizes.workers, "--precisions", ",".join(self.precisions(precisions)), *more]
        try:
            reference = result["reference"] = self.reference(words, f"{kind}_{network.name}_pytorch", deadline)
        except (Skipped, Failure) as failure:
            result["reference"] = {"state": "skipped", "reason": str(failure)}
            return
        peak = self.found["parts"].get("peak", {}).get("operations_per_second", {})
        for precision, own in result["ours"].items():
            rate = own.get("steady_images_per_second") or own["images_per_second"]
            operations = 2 * reference["multiply_adds"] * PASSES[kind] * rate
            if precision in peak:
                own["share_of_peak"] = operations / peak[precision]
            theirs = reference["precisions"].get(precision)
            if theirs and theirs["fed"]:
                own["times_pytorch"] = rate / theirs["fed"]["images_per_second"]

    # The order.

    def parts(self):
        yield "pictures", self.pictures
        yield "digits", self.digits
        yield "peak", self.peak
        for network, count in self.sizes.encode:
            yield f"encode {network.name}", lambda *both, network=network, count=count: self.encode(network, count, *both)
        yield "distill", self.distill
        yield "pretrain", self.pretrain

    def all(self):
        try:
            self.machine()
        except Failure as failure:
            self.found["machine"]["reason"] = str(failure)
            self.write()
            print(f"error: {failure}", file=sys.stderr)
            return 2
        with tempfile.TemporaryDirectory(prefix="seedpipe-gpu-") as work:
            self.work = Path(work)
            self.folder = self.work / "measured"
            for name, part in self.parts():
                self.one(name, part)
        self.found["seconds"] = round(time.monotonic() - self.begun, 1)
        self.write()
        text = table(self.found)
        (self.out / "gpu.md").write_text(text)
        print(text)
        return 1 if any(part["state"] == "failed" for part in self.found["parts"].values()) else 0

    def one(self, name, part):
        result = self.found["parts"][name] = {"state": "measured"}
        begun = time.monotonic()
        say(f"{name} …")
        try:
            if name not in ("pictures", "digits", "peak") and self.found["parts"]["pictures"]["state"] != "measured":
                raise Skipped("there are no pictures")
            part(result, self.deadline.within(self.sizes.limits[name]))
        except (Skipped, OutOfTime) as reason:
            result.update(state="skipped", reason=str(reason))
        except Failure as failure:
            result.update(state="failed", reason=str(failure))
        except Exception as error:  # noqa: BLE001 - a fault of the check is one part's, not all parts'
            (self.logs / "faults.txt").open("a").write(f"{name}\n{traceback.format_exc()}\n")
            result.update(state="failed", reason=f"{type(error).__name__}: {error}")
        proofs = [result.get(proof, {}).get("state") for proof in PROOFS.get(name, [])]
        if proofs and set(proofs) != {"passed"}:
            result["state"] = "failed"
        elif proofs and result["state"] == "measured":
            result["state"] = "passed"
        result["seconds"] = round(time.monotonic() - begun, 1)
        say(f"{name}: {result['state']} in {result['seconds']} s {result.get('reason', '')}")
        self.write()

    def write(self):
        path = self.out / "gpu.json"
        path.with_suffix(".part").write_text(json.dumps(self.found, indent=1) + "\n")
        path.with_suffix(".part").replace(path)


def state(holds, reason):
    return {"state": "passed"} if holds else {"state": "failed", "reason": reason}


def finished(ran, stage):
    """How a stage ended, with what was told of it on the way."""
    own = [event for event in ran.events if event.get("stage") == stage]
    ends = [event for event in own if event["event"] == "stage_finished"]
    if not ends:
        raise Failure(f"stage `{stage}` did not end: {ran.output[-500:]}")
    progress = [event for event in own if event["event"] == "progress"]
    values = [event["values"] for event in own if event["event"] == "metrics" and event["over"] == "epoch"]
    return {
        **ends[-1],
        "measured": values[-1] if values else {},
        "resumed": max((event["resumed"] for event in progress), default=0),
        "steady": steady(progress),
        "card_bytes": ran.card_bytes,
        "resident_bytes": ran.resident_bytes,
    }


def steady(progress):
    """Images a second between the first and the last word of a stage's progress, without its start; None where they are less than 1 s apart."""
    told = [(event["seconds"], event["done"]) for event in progress if event["total"] and event["done"] > event["resumed"]]
    if len(told) < 2 or told[-1][0] - told[0][0] < 1:
        return None
    return (told[-1][1] - told[0][1]) / (told[-1][0] - told[0][0])


def figures(event, rate):
    telemetry = event["telemetry"]
    return {
        "images_per_second": telemetry[rate],
        "steady_images_per_second": event["steady"],
        "waiting_share": telemetry["waiting_share"],
        "computing_share": telemetry["computing_share"],
        "stage_seconds": event["seconds"],
        "card_bytes": event["card_bytes"],
        "resident_bytes": event["resident_bytes"],
    }


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def say(text):
    print(text, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=sorted(SIZES), required=True)
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repository", type=Path, required=True)
    return Check(parser.parse_args()).all()


if __name__ == "__main__":
    sys.exit(main())
