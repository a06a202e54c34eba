#!/usr/bin/env python3
"""Training steps of the engine against PyTorch, alternating in one run, as a Markdown table.

    python3 bench/compare.py --build DIR [--rounds 5] [--seconds 2] [--nets resnet20,cnn,mlp]
                             [--no-compile] [--no-epoch]

First every variant of PyTorch and every thread count is tried once; the two fastest variants a
network then run in every round, taking turns with bench_step (and bench_epoch, where it is built and
SONDE_DATA holds fashion-mnist) of the build folder. A ratio is formed within a round, between the
fastest PyTorch and the fastest of ours (by --time, the least or the median step of a process); the
table shows the median ratio of the rounds and their range, and the ratio of the median steps beside
it. A round in which other processes took more than 4 % of the machine is marked, and left out where
undisturbed ones remain.
"""
import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DISTURBED = 0.04


def busy_seconds():
    """Processor seconds used by everyone since the system started; None where /proc is missing."""
    try:
        with open("/proc/stat") as file:
            fields = [int(v) for v in file.readline().split()[1:9]]
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Run:
    """The JSON lines of a command, and the share of the machine that others used meanwhile."""

    def __init__(self, command, environment=None):
        busy, own, begin = busy_seconds(), children_seconds(), time.perf_counter()
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        wall = time.perf_counter() - begin
        self.status, self.error, self.others = done.returncode, done.stderr.strip(), 0.0
        if busy is not None and wall > 0:
            others = busy_seconds() - busy - (children_seconds() - own)
            self.others = min(1.0, max(0.0, others / (wall * os.cpu_count())))
        self.lines = []
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                self.lines.append(json.loads(line))
                if "peak_rss_bytes" in self.lines[-1]:
                    self.lines[-1]["peak_rss_mb"] = self.lines[-1]["peak_rss_bytes"] / 2**20


def find_program(build, name):
    for folder in ("bench", "", "bin"):
        path = os.path.join(build, folder, name)
        if os.access(path, os.X_OK):
            return path
    return None


def peer_command(options, net, variants, threads):
    return [sys.executable, os.path.join(HERE, "peer_step.py"), "--nets", net, "--variants",
            variants, "--threads", threads, "--seconds", str(options.seconds)]


def say(text):
    print(text, file=sys.stderr, flush=True)


def choose_variants(options, net, threads):
    """The two fastest (variant, threads) of a network, and every figure of the trial."""
    # Not imported: a child's peak memory starts from its parent's, so this process must stay small.
    listed = Run([sys.executable, os.path.join(HERE, "peer_step.py"), "--list"]).lines[0]
    names = [v for v in listed["variants"] if not (options.no_compile and "compile" in v)]
    if net == "mlp":
        names = [v for v in names if "channels_last" not in v]
    trial = Run(peer_command(options, net, ",".join(names), threads)).lines
    for line in trial:
        if "error" in line:
            say("PyTorch %s %s, %d threads: %s" % (net, line["variant"], line["threads"],
                                                   line["error"]))
    good = sorted((l for l in trial if "error" not in l), key=lambda l: l[options.time])
    return [(l["variant"], l["threads"]) for l in good[:2]], good


def best(lines, key):
    return min(lines, key=lambda line: line[key]) if lines else None


def run_round(options, program, net, chosen, threads):
    """One turn each: {"ours": line, "peer": line, "others": share}."""
    result, lines = {"others": 0.0, "ours": None, "peer": None}, []
    if program:
        for count in threads.split(","):
            run = Run([program, count, str(options.seconds), net])
            if run.status != 0:
                say("bench_step %s: %s" % (net, run.error or "exit status %d" % run.status))
            lines += [l for l in run.lines if l["net"] == net]
            result["others"] = max(result["others"], run.others)
        result["ours"] = best(lines, options.time)
    lines = []
    for variant, count in chosen:
        run = Run(peer_command(options, net, variant, str(count)))
        lines += [l for l in run.lines if "error" not in l]
        result["others"] = max(result["others"], run.others)
    result["peer"] = best(lines, options.time)
    return result


def summary(rounds, key):
    """Median over the rounds that count: (ours, peer, ratios), each maybe empty."""
    quiet = [r for r in rounds if r["others"] <= DISTURBED] or rounds
    ours = [r["ours"][key] for r in quiet if r["ours"]]
    peer = [r["peer"][key] for r in quiet if r["peer"]]
    ratios = [r["peer"][key] / r["ours"][key] for r in quiet if r["ours"] and r["peer"]]
    return ours, peer, ratios


def cell(values, form):
    return form % statistics.median(values) if values else "-"


def names_of(rounds, side):
    seen = []
    for r in rounds:
        line = r[side]
        if line:
            name = "%s%d thr." % (line["variant"] + ", " if "variant" in line else "",
                                  line["threads"])
            if name not in seen:
                seen.append(name)
    return " / ".join(seen) or "-"


def print_row(title, rounds, key):
    ours, peer, ratios = summary(rounds, key)
    memory_ours, memory_peer, memory = summary(rounds, "peak_rss_mb")
    spread = "%.2f-%.2f" % (min(ratios), max(ratios)) if ratios else "-"
    medians = summary(rounds, "ms_median")[2] if key.startswith("ms_") else []
    disturbed = sum(r["others"] > DISTURBED for r in rounds)
    print("| %s | %s (%s) | %s (%s) | **%s** (%s) | %s | %s / %s | %d of %d, worst %.0f %% |" % (
        title, cell(ours, "%.2f"), names_of(rounds, "ours"), cell(peer, "%.2f"),
        names_of(rounds, "peer"), cell(ratios, "%.2fx"), spread, cell(medians, "%.2fx"),
        cell(memory_ours, "%.0f"), cell(memory_peer, "%.0f"), disturbed, len(rounds),
        100 * max(r["others"] for r in rounds)), flush=True)


def print_trial(trials):
    print("\nEvery variant of PyTorch, one process each (ms, median):\n")
    print("| net | variant | threads | ms | ms, min | peak RSS MB |\n|---|---|---|---|---|---|")
    for line in trials:
        print("| %(net)s | %(variant)s | %(threads)d | %(ms_median).2f | %(ms_min).2f | "
              "%(peak_rss_mb).0f |" % line)


def compare_steps(options, program, have_torch):
    nets = options.nets.split(",")
    threads = ",".join(str(t) for t in sorted({1, min(2, os.cpu_count())}))
    chosen, trials = {}, []
    for net in nets:
        chosen[net] = []
        if have_torch:
            say("trying the variants of PyTorch on %s ..." % net)
            chosen[net], good = choose_variants(options, net, threads)
            trials += good
    rounds = {net: [] for net in nets}
    for i in range(options.rounds):
        for net in nets:
            say("round %d of %d: %s" % (i + 1, options.rounds, net))
            rounds[net].append(run_round(options, program, net, chosen[net], threads))
    for net in nets:
        print_row("step, %s, batch 128, ms" % net, rounds[net], options.time)
    return trials


def compare_epochs(options, program, have_torch):
    rounds = []
    for i in range(options.rounds):
        say("round %d of %d: one epoch of cnn" % (i + 1, options.rounds))
        result = {"others": 0.0, "ours": None, "peer": None}
        commands = {"ours": [program] if program else None,
                    "peer": [sys.executable, os.path.join(HERE, "peer_epoch.py")]
                    if have_torch else None}
        for side, command in commands.items():
            if command:
                run = Run(command)
                if run.status != 0:
                    say("%s: %s" % (command[-1], run.error or "exit status %d" % run.status))
                result[side] = run.lines[-1] if run.lines else None
                result["others"] = max(result["others"], run.others)
        rounds.append(result)
    print_row("epoch of cnn on Fashion-MNIST, data included, s", rounds, "seconds")
    overhead = [100 * (r["ours"]["seconds"] / r["ours"]["steps_alone_seconds"] - 1)
                for r in rounds if r["ours"] and r["ours"].get("steps_alone_seconds")]
    return cell(overhead, "%.1f %%") if overhead else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", required=True, help="build folder with bench_step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of timed steps a process")
    parser.add_argument("--nets", default="resnet20,cnn,mlp")
    parser.add_argument("--time", choices=("min", "median"), default="min")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--no-epoch", action="store_true", help="leave the epoch benchmark out")
    options = parser.parse_args()
    options.time = "ms_" + options.time
    program = find_program(options.build, "bench_step")
    if not program:
        sys.exit("%s holds no bench_step: build it first (cmake --build %s --target bench_step)" %
                 (options.build, options.build))
    import importlib.util
    have_torch = importlib.util.find_spec("torch") is not None
    if not have_torch:
        say("PyTorch is missing: only our own figures follow, without ratios. "
            "(python3 -m pip install torch==2.13.0, the CPU build)")
    elif options.no_compile is False and not shutil.which("g++"):
        say("g++ is missing: torch.compile cannot work and will be reported as an error")
    print("| what | ours | PyTorch, best variant | PyTorch / ours | by medians | peak RSS MB | "
          "disturbed |\n|---|---|---|---|---|---|---|")
    trials = compare_steps(options, program, have_torch)
    overhead = None
    data = os.path.join(os.environ.get("SONDE_DATA", ""), "fashion-mnist")
    if options.no_epoch:
        pass
    elif not os.path.isdir(data):
        say("the epoch is left out: SONDE_DATA names no folder that holds fashion-mnist/")
    else:
        epoch_program = find_program(options.build, "bench_epoch")
        if not epoch_program:
            say("%s holds no bench_epoch: the epoch shows PyTorch only" % options.build)
        overhead = compare_epochs(options, epoch_program, have_torch)
    print("\nTimes: %s of a process's steps; ratios: median (range) over rounds, each formed within "
          "its round.\n\"disturbed\": rounds in which other processes used over %.0f %% of the "
          "machine." % (options.time[3:], 100 * DISTURBED))
    if overhead:
        print("Our epoch takes %s longer than its steps alone." % overhead)
    if trials:
        print_trial(trials)


if __name__ == "__main__":
    main()
