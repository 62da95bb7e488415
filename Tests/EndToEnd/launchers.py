#!/usr/bin/env python3
"""The scripts of cluster/ without Slurm or MPI: exit codes, signals, restarts and sbatch lines, told by stand-ins."""

import os
import signal
import subprocess
import time

import harness
from harness import check

WORK = harness.folder()
CLUSTER = harness.ROOT / "cluster"
FAKES = WORK / "bin"
FAKES.mkdir()
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("FORGE_", "SLURM"))}
ENVIRONMENT |= {"PATH": f"{FAKES}:{os.environ['PATH']}", "WORK": str(WORK)}


def fake(name, body):
    """A program in front of PATH that notes its arguments and what it was told, then does `body`."""
    path = FAKES / name
    path.write_text(f'#!/usr/bin/env bash\necho "{name} $* restart=${{FORGE_RESTART-none}}" >>"$WORK/calls"\n{body}\n')
    path.chmod(0o755)


def run(*command, **variables):
    (WORK / "calls").write_text("")
    ended = subprocess.run([*map(str, command)], env=ENVIRONMENT | variables, cwd=WORK, capture_output=True, text=True,
                           timeout=60)
    return harness.Ended(ended.returncode, ended.stdout, ended.stderr, 0)


def calls(name=""):
    return [line for line in (WORK / "calls").read_text().splitlines() if line.startswith(name)]


# A launcher that ends as the first line of the file `codes` says, and takes that line away.
ENDS = 'read -r code <"$WORK/codes"; sed -i 1d "$WORK/codes"; exit "$code"'
ASKED = 'trap "exit $ANSWER" USR1 TERM; touch "$WORK/ready"; while :; do sleep 0.05; done'


def codes(*values):
    (WORK / "codes").write_text("".join(f"{value}\n" for value in values))


def launch():
    for name, launcher in [("mpirun", "mpirun"), ("srun", "srun")]:
        fake(name, ENDS)
        for code, told in [(0, 0), (1, 1), (64, 64), (70, 70), (75, 75), (127, 127), (132, 70), (133, 70), (134, 70),
                           (139, 70), (137, 75), (143, 75), (205, 75), (233, 75)]:
            codes(code)
            ended = run(CLUSTER / "launch", "-n", 2, "program", FORGE_LAUNCHER=launcher)
            check(f"launch: {name}'s {code} is {told}", ended.code == told and len(calls()) == 1, ended)
    check("launch with srun asks for PMIx", "srun --mpi=pmix" in calls()[0], calls())
    ended = run(CLUSTER / "launch", "program", FORGE_LAUNCHER="ssh")
    check("launch refuses an unknown launcher", ended.code == 64 and "'ssh'" in ended.err and not calls(), ended)

    for ends, told in [([75, 137, 0], 0), ([75, 75, 75, 0], 75), ([75, 64, 0], 64), ([139, 0], 70), ([0], 0)]:
        codes(*ends)
        ended = run(CLUSTER / "launch", "--restart", 2, "program")
        wanted = min(len(ends), 3, 1 + next((place for place, code in enumerate(ends) if code not in (75, 137)), 9))
        told_restarts = [line.rpartition("=")[2] for line in calls()]
        check(f"launch --restart 2 after {ends} ends with {told}", ended.code == told
              and told_restarts == ["none", "1", "2"][:wanted], f"{ended}\n{calls()}")

    for sent, answer in [(signal.SIGUSR1, 75), (signal.SIGTERM, 1)]:
        fake("mpirun", ASKED)
        (WORK / "ready").unlink(missing_ok=True)
        process = subprocess.Popen([CLUSTER / "launch", "--restart", "3", "program"], cwd=WORK,
                                   env=ENVIRONMENT | {"ANSWER": str(answer)}, stderr=subprocess.PIPE, text=True)
        (WORK / "calls").write_text("")
        harness.wait_for((WORK / "ready").exists, process, 10)
        process.send_signal(sent)
        err = process.communicate(timeout=10)[1]
        check(f"launch passes {sent.name} on, says 75 and does not restart",
              process.returncode == 75 and len(calls()) <= 1, f"{process.returncode} {calls()}\n{err}")


def batch():
    """forge.sbatch with a Slurm of three nodes that only says what it was asked."""
    scontrol = f"""case "$*" in
      *"show job"*) echo "JobId=7 Command={CLUSTER}/forge.sbatch run.yaml WorkDir=/" ;;
      *hostnames*) printf 'n%s\\n' 1 2 3 ;;
    esac"""
    fake("scontrol", scontrol)
    fake("squeue", """case "$*" in
      *%T*) echo "${STATE:-RUNNING}" ;;
      *) echo "8 other-chain"; echo "9 the-chain"; echo "10 the-chain" ;;
    esac""")
    fake("scancel", "")
    fake("forge-dist", "")
    # The probe of a node: those in LOST do not answer.
    fake("srun", 'for lost in $LOST; do [[ $* == *nodelist=$lost\\ * ]] && exit 1; done; exit 0')
    fake("mpirun", ENDS)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_CPUS_ON_NODE": "4", "FORGE_BIND": "none",
             "SLURM_NTASKS_PER_NODE": "2", "FORGE_DIST": str(FAKES / "forge-dist"), "LOST": "", "SLURMD_NODENAME": "n1"}

    def job(name, ends, told, requeued, launches, *, arguments=("run.yaml",), **variables):
        codes(*ends)
        ended = run("bash", CLUSTER / "forge.sbatch", *arguments, **slurm | variables)
        detail = f"{ended}\n" + "\n".join(calls())
        check(f"forge.sbatch: {name}", ended.code == told and len(calls("mpirun")) == launches
              and bool(calls("scontrol requeue 7")) == requeued, detail)
        return ended

    for code in (0, 64, 70, 127):
        job(f"{code} ends the job", [code], code, False, 1)
    job("a crashed rank is a bug", [139], 70, False, 1)
    job("a launcher that cannot start ends the job", [1], 1, False, 1)
    job("a lost rank: started again", [137, 75, 0], 0, False, 3)
    check("forge.sbatch: restarts are told to forge-dist",
          [line.rpartition("=")[2] for line in calls("mpirun")] == ["0", "1", "2"], calls())
    job("restarts have a bound", [75] * 5, 75, True, 3, FORGE_RELAUNCHES="2")
    job("Slurm's restarts count", [0], 0, False, 1, SLURM_RESTART_COUNT="4")
    check("forge.sbatch: and are told, too", calls("mpirun")[0].endswith("restart=4"), calls())
    lost = job("a lost node: started again on those left", [205, 0], 0, False, 2, LOST="n2")
    check("forge.sbatch: the nodes left are named", "2 nodes (n1 n3)" in lost.err, lost)
    spare = job("a spare node steps in", [205, 0], 0, False, 2, LOST="n2", FORGE_SPARE_NODES="1")
    check("forge.sbatch: it was idle before", "2 nodes (n1 n2)" in spare.err and "2 nodes (n1 n3)" in spare.err, spare)
    job("a job that Slurm is ending stays ended", [143], 75, False, 1, LOST="n1 n2 n3", STATE="COMPLETING")
    job("too few nodes: back to the queue", [205, 0], 75, True, 1, LOST="n1 n3", FORGE_MIN_NODES="2")
    job("only spare nodes are refused", [0], 64, False, 0, FORGE_SPARE_NODES="3")
    job("a program that is none is refused", [0], 64, False, 0, FORGE_DIST="/nowhere/forge-dist")
    job("an array takes its own run", [0], 0, False, 1, SLURM_ARRAY_TASK_ID="1",
        arguments=("a.yaml", "b.yaml --set run.seed=2", "--", "--set", "run.steps=3"))
    check("forge.sbatch: with its settings and the common ones",
          " b.yaml --set run.seed=2 --set run.steps=3 " in calls("mpirun")[0] and "a.yaml" not in calls("mpirun")[0],
          calls())
    job("one chain goes on by itself", [75] * 9, 75, False, 11 - 2, FORGE_CHAIN="the-chain", FORGE_RELAUNCHES="8")
    check("forge.sbatch: nothing of it is cancelled", not calls("scancel"), calls())
    job("a chain ends with 64", [64], 64, False, 1, FORGE_CHAIN="the-chain")
    check("forge.sbatch: its waiting jobs are cancelled, others not",
          [line.split(" restart")[0] for line in calls("scancel")] == ["scancel 9 10"], calls())
    job("cores are bound", [0], 0, False, 1, FORGE_BIND="cores")
    threads = min(4, len({line for line in subprocess.run(
        ["lscpu", "--parse=CORE,SOCKET"], capture_output=True, text=True).stdout.splitlines() if line[0] != "#"})) // 2
    check("forge.sbatch: two ranks a node, each with its cores",
          f"ppr:2:node:PE={max(1, threads)} --bind-to core" in calls("mpirun")[0], calls())

    # The time limit is near.
    fake("mpirun", ASKED)
    (WORK / "ready").unlink(missing_ok=True)
    process = subprocess.Popen(["bash", CLUSTER / "forge.sbatch", "run.yaml"], cwd=WORK,
                               env=ENVIRONMENT | slurm | {"ANSWER": "75"}, stderr=subprocess.PIPE, text=True)
    harness.wait_for((WORK / "ready").exists, process, 10)
    time.sleep(0.1)
    process.send_signal(signal.SIGUSR1)
    process.communicate(timeout=10)
    check("forge.sbatch: SIGUSR1 saves and requeues", process.returncode == 75 and calls("scontrol requeue 7"), calls())


def submit():
    fake("sbatch", 'echo "$((41 + $(grep -c ^sbatch "$WORK/calls")))"')
    for name in ("a", "b"):
        (WORK / f"{name}.yaml").write_text("")
    script = f"{CLUSTER}/forge.sbatch"

    def lines(*arguments):
        ended = run(CLUSTER / "submit", *arguments)
        return [line.split(" restart=")[0] for line in calls("sbatch")], ended

    made, ended = lines("a.yaml", "--nodes", 4, "--spare", 1, "--time", "1:00:00", "--set", "run.seed=2", "--", "--qos=q")
    check("submit: one job", made == ["sbatch --parsable --time=1:00:00 --qos=q --nodes=5 --export=ALL,"
                                      f"FORGE_SPARE_NODES=1 {script} a.yaml --set run.seed=2"], f"{made}\n{ended}")
    made, ended = lines("a.yaml", "--chain", 3, "--launcher", "srun", "--ranks-per-node", 2)
    check("submit: a chain of three, each after the one before", len(made) == 3 and "dependency" not in made[0]
          and "afterany:42" in made[1] and "afterany:43" in made[2]
          and all(f"FORGE_RESTART={link} " in line and "FORGE_LAUNCHER=srun,FORGE_RANKS_PER_NODE=2," in line
                  for link, line in enumerate(made)), f"{made}\n{ended}")
    dry = run(CLUSTER / "submit", "a.yaml", "--chain", 2, "--dry-run")
    check("submit: a dry run prints the lines and submits nothing", dry.code == 0 and not calls("sbatch")
          and dry.out.count(script) == 2 and "--dependency=afterany:JOB1" in dry.out, dry)
    made, ended = lines("a.yaml", "b.yaml")
    check("submit: several runs are an array",
          len(made) == 1 and "--array=0-1" in made[0] and made[0].endswith(f"{script} a.yaml b.yaml --"), f"{made}\n{ended}")
    (WORK / "runs").write_text("# two runs\na.yaml --set run.seed=2\n\nb.yaml # the other\n")
    made, ended = lines("--array", "runs", "--set", "run.steps=3")
    check("submit: an array from a file", len(made) == 1 and "--array=0-1" in made[0]
          and "a.yaml --set run.seed=2 b.yaml" in made[0] and made[0].endswith(" -- --set run.steps=3"), f"{made}\n{ended}")
    for wrong, said in [([], "name a configuration"), (["c.yaml"], "'c.yaml'"), (["a.yaml", "--nodes", "x"], "'x'"),
                        (["a.yaml", "b.yaml", "--chain", 2], "--chain"), (["a.yaml", "--node", 2], "'--node'"),
                        (["a.yaml", "--launcher", "ssh"], "'ssh'"), (["a.yaml", "--time"], "--time wants a value")]:
        made, ended = lines(*wrong)
        check(f"submit refuses {' '.join(map(str, wrong)) or 'nothing'}",
              ended.code == 64 and not made and said in ended.err and len(harness.sentences(ended.err)) == 1, ended)


launch()
batch()
submit()
harness.finish()
